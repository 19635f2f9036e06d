"""Flow matching: the velocity that a head gives, what it is compared with, and images made by it."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtjax.data.fields import SourceInfo
from mtjax.generate import sample
from mtjax.models import HEADS, MultiTask
from mtjax.models.heads.velocity import Flow, Told, preconditioned
from mtjax.models.pyramid import unshuffle
from mtjax.models.sharing import hard
from mtjax.physics import Identity, Observed
from mtjax.tasks import TASKS
from mtjax.tasks.generation import velocity_mse

SIZE = 8
INFO = SourceInfo(
    name="small",
    fields={"image": (SIZE, SIZE, 1), "label": ()},
    class_names={"label": ("a", "b", "c")},
    image_shape=(SIZE, SIZE, 1),
)
TASK = TASKS["generation"]("draw", INFO, observation="noised")
LABELS = jnp.array([0, 1, 2, 2])
KEY = jax.random.key(0)


def observed(size=SIZE, time=0.5, present=True):
    image, noise = (np.random.default_rng(i).uniform(size=(4, size, size, 1)).astype(np.float32) for i in range(2))
    times = np.broadcast_to(np.float32(time), (4, 1, 1, 1))
    y = jnp.asarray((1 - times) * image + times * noise)
    given = {"label": (LABELS, jnp.broadcast_to(present, 4))}
    return jnp.asarray(image), Observed(y, Identity(), jnp.asarray(times), given=given)


class Blocks(nn.Module):
    """An encoder without parameters: blocks of pixels, at two strides."""

    strides: tuple[int, ...] = (2, 4)

    def __call__(self, x):
        return tuple(unshuffle(x, stride) for stride in self.strides)


@functools.cache
def network():
    """A model of one task, its first parameters, others at random, and what it says, compiled."""
    head = HEADS["velocity"](None, TASK.outputs, width=4, depth=1)
    model = MultiTask(Blocks(), hard(("draw",)), {"draw": head}, {"draw": "noised"})
    _, seen = observed()
    first = jax.jit(lambda seen: model.init(jax.random.key(0, impl="rbg"), {"noised": seen}))(seen)
    rng = np.random.default_rng(0)
    moved = jax.tree.map(lambda x: (x + 0.2 * rng.normal(size=x.shape)).astype(np.float32), jax.device_get(first))
    return model, first, moved, jax.jit(lambda params, seen: model.apply(params, {"noised": seen})["draw"])


@functools.cache
def maker(labelled=True):
    model = network()[0]
    return jax.jit(
        lambda params, key, labels, guidance: sample(
            model, params, "draw", key, (4, SIZE, SIZE, 1), {"label": labels} if labelled else None,
            guidance=guidance, steps=3, method="euler",
        )
    )  # fmt: skip


def test_the_loss_is_the_squared_error_of_the_velocity():
    rng = np.random.default_rng(0)
    image, noise, velocity = (rng.normal(size=(3, SIZE, SIZE, 2)).astype(np.float32) for _ in range(3))
    time = np.array([0.02, 0.4, 1.0], np.float32)[:, None, None, None]
    y = (1 - time) * image + time * noise
    found = velocity_mse(Flow(*map(jnp.asarray, (velocity, y - time * velocity, time))), jnp.asarray(image))
    np.testing.assert_allclose(found, ((velocity - (noise - image)) ** 2).mean((1, 2, 3)), rtol=1e-3)


def test_at_time_0_loss_and_gradient_are_finite():
    image = jnp.full((2, 4, 4, 1), 0.3)

    def loss(velocity, time):
        return velocity_mse(Flow(velocity, image - time * velocity, time), image).sum()

    gradient = jax.jit(jax.value_and_grad(loss, (0, 1)))(jnp.ones((2, 4, 4, 1)), jnp.zeros((2, 1, 1, 1)))
    assert all(jnp.isfinite(x).all() for x in jax.tree.leaves(gradient))


def test_a_new_head_gives_the_best_linear_estimate():
    # Of pixels of mean and deviation 1/2, from least squares on draws of them.
    rng = np.random.default_rng(0)
    x, e = (0.5 + 0.5 * rng.normal(size=200_000) for _ in range(2))
    for time in (0.1, 0.5, 0.9):
        y = (1 - time) * x + time * e
        design = np.stack([y, np.ones_like(y)], 1)
        slope, offset = np.linalg.lstsq(design, e - x, rcond=None)[0]
        at = np.linspace(-1, 2, 4, dtype=np.float32).reshape(1, 2, 2, 1)
        found = preconditioned(jnp.zeros((1, 2, 2, 1)), jnp.asarray(at), jnp.full((1, 1, 1, 1), time))
        np.testing.assert_allclose(found, slope * at + offset, atol=0.02)
        error = (e - x - design @ [slope, offset]).std()
        scaled = preconditioned(jnp.ones((1, 2, 2, 1)), jnp.asarray(at), jnp.full((1, 1, 1, 1), time)) - found
        np.testing.assert_allclose(scaled, error, rtol=0.02)


def test_a_head_starts_there_and_knows_its_image_at_time_0():
    _, first, moved, apply = network()
    _, seen = observed()
    said = apply(first, seen)
    np.testing.assert_allclose(said.velocity, preconditioned(jnp.zeros_like(seen.y), seen.y, said.time), atol=1e-6)
    image, clean = observed(time=0.0)
    said = apply(moved, clean)
    np.testing.assert_array_equal(said.image, image)
    assert jnp.isfinite(said.velocity).all()


def test_a_class_withheld_is_as_one_never_given_and_classes_differ():
    _, _, params, apply = network()
    _, seen = observed()
    _, hidden = observed(present=False)
    told, without = apply(params, seen).velocity, apply(params, hidden).velocity
    assert (jnp.abs(told - without).max((1, 2, 3)) > 1e-4).all()
    none = Observed(seen.y, seen.operator, seen.noise_level)
    np.testing.assert_allclose(without, apply(params, none).velocity, atol=1e-6)
    outside = Observed(seen.y, seen.operator, seen.noise_level, given={"label": (LABELS - 3, jnp.ones(4, bool))})
    np.testing.assert_allclose(without, apply(params, outside).velocity, atol=1e-6)


@pytest.mark.parametrize("values", [jnp.zeros(2), jnp.zeros((2, 3), jnp.int32)])
def test_what_is_given_must_be_classes(values):
    seen = Observed(jnp.zeros((2, 4, 4, 1)), Identity(), jnp.ones(()), given={"pose": (values, jnp.ones(2, bool))})
    with pytest.raises(ValueError, match="given='pose'") as caught:
        jax.eval_shape(Told(3, 4).init, KEY, seen, jnp.ones(2))
    assert "\n" not in str(caught.value)


def test_gradients_are_finite_at_both_ends_of_time():
    model, _, params, _ = network()
    time = jnp.array([0.0, 1e-6, 0.5, 1.0])[:, None, None, None]
    image, seen = observed(time=time)

    def loss(params):
        return TASK.loss(model.apply(params, {"noised": seen})["draw"], image).mean()

    value, gradient = jax.jit(jax.value_and_grad(loss))(params)
    assert jnp.isfinite(value) and all(jnp.isfinite(x).all() for x in jax.tree.leaves(gradient))


def test_other_sizes_are_no_trouble():
    _, _, params, apply = network()
    _, seen = observed(size=7)
    assert apply(params, seen).velocity.shape == (4, 7, 7, 1)


def test_an_image_is_a_function_of_key_number_and_label():
    params = network()[2]
    make = maker()
    made = make(params, KEY, LABELS, None)
    np.testing.assert_array_equal(made, make(params, KEY, LABELS, None))
    changed = make(params, KEY, LABELS.at[3].set(0), None)
    np.testing.assert_allclose(made[:3], changed[:3], atol=1e-5)
    assert jnp.abs(made[3] - changed[3]).max() > 1e-3
    assert jnp.abs(made - make(params, jax.random.key(5), LABELS, None)).min((1, 2, 3)).max() > 1e-6


def test_guidance_of_0_asks_for_no_class_and_of_1_for_it_alone():
    params = network()[2]
    guided = maker()
    free = maker(labelled=False)(params, KEY, LABELS, None)
    np.testing.assert_allclose(guided(params, KEY, LABELS, 0.0), free, atol=1e-4)
    np.testing.assert_allclose(guided(params, KEY, LABELS, 1.0), guided(params, KEY, LABELS, None), atol=1e-4)
    assert jnp.abs(guided(params, KEY, LABELS, 3.0) - free).max() > 1e-2


def test_guidance_without_labels_is_refused_in_one_line():
    with pytest.raises(ValueError, match=r"guidance=2\.0 needs labels") as caught:
        sample(network()[0], {}, "draw", KEY, (4, SIZE, SIZE, 1), guidance=2.0)
    assert "\n" not in str(caught.value)


def test_the_task_scores_its_loss_and_shows_the_image():
    image, seen = observed()
    said = network()[3](network()[1], seen)
    total, count = TASK.metrics(said, image)["velocity_mse"]
    np.testing.assert_allclose(total, TASK.loss(said, image))
    np.testing.assert_array_equal(count, 1)
    picture = TASK.picture(jax.tree.map(lambda x: np.asarray(x[0]), said))
    assert picture.shape == (SIZE, SIZE, 3) and picture.dtype == np.uint8
    assert not TASK.restores and TASK.directions == {"velocity_mse": "lower"} and TASK.outputs == 3


def test_data_without_classes_can_be_generated_too():
    plain = SourceInfo(name="plain", fields={"image": (8, 8, 1)}, class_names={}, image_shape=(8, 8, 1))
    assert TASKS["generation"]("draw", plain, observation="noised").outputs == 0
