"""The multi-frame head: its classical start, any number of frames in any order, alignment, and learning."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sharing_models import disturbed

from mtjax import physics, solvers
from mtjax.data.fields import SourceInfo
from mtjax.models import HEADS, SHARINGS, MultiTask
from mtjax.models.encoders import unet
from mtjax.models.heads.burst import aligned, motion
from mtjax.physics import Observed, burst_operator, join_frames, kernels, split_frames
from mtjax.registry import ConfigError
from mtjax.tasks import TASKS
from mtjax.train.build import check_clip
from mtjax.train.step import observe_clip

SIZE, FACTOR = 16, 2
INFO = SourceInfo("tiny", {"image": (SIZE, SIZE, 3)}, {}, (SIZE, SIZE, 3))


class Stem(nn.Module):
    """The smallest encoder there is, quickly compiled."""

    strides: tuple[int, ...] = (2,)

    @nn.compact
    def __call__(self, x):
        return (nn.Conv(4, (3, 3), 2)(x),)


def network(encoder=None):
    head = HEADS["burst"](None, 3, width=4, depth=1)
    return MultiTask(encoder or Stem(), SHARINGS["hard"](("enlarge",)), {"enlarge": head}, {"enlarge": "seen"})


@functools.cache
def images():
    rows, columns = np.meshgrid(np.arange(SIZE), np.arange(SIZE), indexing="ij")
    tilt = np.random.default_rng(0).uniform(0.3, 1.2, (2, 2, 3))
    waves = [0.5 + 0.4 * np.sin(rows[..., None] * t[0] + columns[..., None] * t[1]) for t in tilt]
    return jnp.asarray(np.stack(waves), jnp.float32)


@functools.cache
def observed(count=4):
    """Two images, each with shifts of its own; the first frame is not moved."""
    offsets = np.random.default_rng(1).uniform(-1.5, 1.5, (2, count, 2))
    offsets[:, 0] = 0
    operator = burst_operator(jnp.asarray(offsets, jnp.float32), FACTOR, kernels.gaussian(0.8))
    return Observed(operator(images()), operator, jnp.full((2, 1, 1, 1), 0.02))


def permuted(seen, order):
    """The same burst with its frames in another order."""
    count = len(order)
    offsets, _ = motion(seen.operator, 2)
    operator = burst_operator(offsets[:, order], FACTOR, kernels.gaussian(0.8))
    return Observed(join_frames(split_frames(seen.y, count)[:, order]), operator, seen.noise_level)


@functools.cache
def initial():
    net = network()
    return jax.jit(lambda seen: net.init(jax.random.key(0), {"seen": seen}))(observed())


@jax.jit
def predict(params, seen):
    return network().apply(params, {"seen": seen})["enlarge"]


@jax.jit
def shift_and_add(seen):
    offsets, factor = motion(seen.operator, 2)
    return solvers.shift_and_add(split_frames(seen.y, seen.operator.count), offsets, factor).image


def test_it_starts_as_its_classical_start():
    np.testing.assert_allclose(predict(initial(), observed()), shift_and_add(observed()), atol=1e-6)


@pytest.mark.parametrize("count", [1, 3, 4])
def test_the_same_parameters_take_any_number_of_frames_of_any_size(count):
    y, level = jnp.zeros((2, 7, 9, 3 * count)), jnp.zeros((2, 1, 1, 1))
    seen = Observed(y, burst_operator(jnp.zeros((2, count, 2)), 3), level)
    params = jax.eval_shape(lambda: network().init(jax.random.key(0), {"seen": seen}))
    assert jax.eval_shape(predict, params, seen).shape == (2, 21, 27, 3)
    another = Observed(y[..., :3], burst_operator(jnp.zeros((2, 1, 2)), 3), level)
    assert jax.eval_shape(predict, params, another).shape == (2, 21, 27, 3)


def test_the_order_of_the_later_frames_does_not_matter():
    params, seen = disturbed(initial()), observed()
    plain = predict(params, seen)
    np.testing.assert_allclose(predict(params, permuted(seen, (0, 3, 1, 2))), plain, atol=1e-4)
    assert np.abs(predict(params, permuted(seen, (2, 1, 0, 3))) - plain).max() > 1e-3  # that of the first does
    assert np.abs(plain - shift_and_add(seen)).max() > 1e-2


def test_examples_do_not_influence_each_other():
    params, seen = disturbed(initial()), observed()
    other = Observed(seen.y.at[1].set(0.3), seen.operator, seen.noise_level)
    np.testing.assert_allclose(predict(params, other)[0], predict(params, seen)[0], atol=1e-5)


def test_motion_is_what_the_burst_was_made_of():
    offsets = jnp.asarray([[0.0, 0.0], [0.25, -0.5]])
    for margin in (0, 1):
        found, factor = motion(burst_operator(offsets, 3, kernels.gaussian(1.0), margin), 2)
        assert factor == 3
        np.testing.assert_allclose(found, jnp.broadcast_to(offsets, (2, 2, 2)), atol=1e-6)


def test_frames_lie_on_each_other_once_aligned():
    rows, columns = jnp.meshgrid(jnp.arange(12.0), jnp.arange(12.0), indexing="ij")
    offsets = jnp.asarray([[[0.0, 0.0], [1.5, -0.75]]])

    def scene(down, right):
        return jnp.sin(0.3 * (rows - down) + 0.2 * (columns - right))

    features = jnp.stack([scene(2 * down, 2 * right) for down, right in np.asarray(offsets[0])])[None, ..., None]
    align = jax.jit(aligned, static_argnums=2)
    moved = align(features, 4 * offsets, 2)  # at a stride of two pixels, features have moved by half as many
    inner = np.s_[:, 4:-4, 4:-4, 0]
    np.testing.assert_allclose(moved[0, 1][inner[1:]], moved[0, 0][inner[1:]], atol=0.02)
    np.testing.assert_allclose(moved[0, 1, 0, 0, 1:], [0, 0], atol=1e-6)
    half = align(features, offsets, 2)
    np.testing.assert_allclose(half[0, 1, 0, 0, 1:], [-0.5, 0.25])


def test_it_learns():
    task = TASKS["super_resolution"]("enlarge", INFO, observation="seen", head={"kind": "burst"})
    seen, optimizer = observed(), optax.adam(5e-3)
    net = network()

    @jax.jit
    def steps(params, state):
        def step(carry, _):
            def loss(params):
                return task.loss(net.apply(params, {"seen": seen})["enlarge"], images()).mean()

            value, slope = jax.value_and_grad(loss)(carry[0])
            updates, state = optimizer.update(slope, carry[1])
            return (optax.apply_updates(carry[0], updates), state), value

        return jax.lax.scan(step, (params, state), length=60)

    _, losses = steps(initial(), optimizer.init(initial()))
    assert np.isfinite(losses).all() and losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("operator", [physics.Downsample(2), physics.Frames(physics.Downsample(2), 2)])
def test_another_operator_is_named_in_one_line(operator):
    with pytest.raises(ValueError, match=r"head 'burst': operator is no burst, but (Downsample|Frames)") as caught:
        motion(operator, 2)
    assert "\n" not in str(caught.value)


FILM = {
    "operator": {"kind": "burst", "frames": 3, "factor": 2, "radius": 0},
    "noise": {"kind": "none"},
    "clip": "clip",
}
observe_film = jax.jit(lambda batch: observe_clip(FILM, jax.random.split(jax.random.key(0), 1), batch))


@functools.cache
def film(size=64):
    """Three frames of a camera that moves, and by how much."""
    rows, columns = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    tilt = np.random.default_rng(3).uniform(0.1, 0.5, (12, 2, 3))
    offsets = np.array([[0, 0], [1.4, -0.6], [2.2, 1.0]])
    frames = []
    for down, right in offsets:
        at = (rows - down)[..., None], (columns - right)[..., None]
        frames.append(0.5 + 0.04 * sum(np.sin(at[0] * t[0] + at[1] * t[1] + i) for i, t in enumerate(tilt)))
    return jnp.asarray(np.stack(frames)[None], jnp.float32), offsets


def test_a_clip_is_observed_frame_by_frame_and_registered():
    clip, offsets = film()
    batch = {"clip": clip, "image": clip[:, 0], "valid": {"clip": jnp.ones(1, bool)}}
    seen = observe_film(batch)
    still = physics.Downsample(2, kernels.gaussian(0.8))
    for k in range(3):
        np.testing.assert_allclose(split_frames(seen.y, 3)[:, k], still(clip[:, k]), atol=1e-5)
    np.testing.assert_allclose(motion(seen.operator, 1)[0][0], offsets / 2, atol=0.03)


def test_an_example_without_a_clip_is_a_scene_that_does_not_move():
    clip, _ = film()
    seen = observe_film({"clip": 0 * clip, "image": clip[:, 0], "valid": {"clip": jnp.zeros(1, bool)}})
    for frame in split_frames(seen.y, 3)[0, 1:]:
        np.testing.assert_allclose(frame, split_frames(seen.y, 3)[0, 0], atol=1e-6)
    np.testing.assert_allclose(motion(seen.operator, 1)[0], 0, atol=1e-3)


@pytest.mark.parametrize(
    ("clip", "operator", "message"),
    [
        ("clips", {"kind": "burst", "frames": 3}, r"no field 'clips'; did you mean 'clip'"),
        ("image", {"kind": "burst", "frames": 3}, r"'image' of shape .* is no clip \[T, H, W, C\]"),
        ("clip", {"kind": "burst", "frames": 4}, r'needs operator=dict\(kind="burst", frames=3\)'),
        ("clip", {"kind": "downsample"}, r'needs operator=dict\(kind="burst", frames=3\)'),
    ],
)
def test_a_clip_that_does_not_fit_is_named(clip, operator, message):
    info = SourceInfo("films", {"image": (SIZE, SIZE, 3), "clip": (3, SIZE, SIZE, 3)}, {}, (SIZE, SIZE, 3))
    with pytest.raises(ConfigError, match=message):
        check_clip("film", {"clip": clip, "operator": operator}, info)


def test_a_head_for_one_picture_says_what_to_use_instead():
    head = HEADS["decoder"](None, 3)
    net = MultiTask(unet(None, width=4, depth=2), SHARINGS["hard"](("deblur",)), {"deblur": head}, {"deblur": "seen"})
    with pytest.raises(ValueError, match="needs a head that joins them, such as 'burst'"):
        jax.eval_shape(net.init, jax.random.key(0), {"seen": observed()})
