import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from mtjax.models import HEADS, MultiTask, Pyramid
from mtjax.models.encoders import unet
from mtjax.models.pyramid import pad_to_multiple, shuffle, unshuffle
from mtjax.physics import Blur, Mask, Observed, kernels
from mtjax.train.step import observe_for_evaluation


def observed(height, width, size=2):
    y = jax.random.uniform(jax.random.key(0), (size, height, width, 3))
    return Observed(y, Blur(kernels.gaussian(1.0)), jnp.full((size, 1, 1, 1), 0.02))


def test_unshuffle_moves_blocks_into_channels_and_back():
    x = jnp.arange(2 * 4 * 6 * 3.0).reshape(2, 4, 6, 3)
    moved = unshuffle(x, 2)
    np.testing.assert_array_equal(moved[1, 1, 2], x[1, 2:4, 4:6].reshape(-1))
    np.testing.assert_array_equal(shuffle(moved, 2), x)


def test_padding_keeps_the_picture_and_mirrors_it():
    x = jnp.arange(3.0).reshape(1, 3, 1, 1)
    np.testing.assert_array_equal(pad_to_multiple(x, 8)[0, :, 0, 0], [0, 1, 2, 2, 1, 0, 0, 1])
    assert pad_to_multiple(x, 8).shape == (1, 8, 8, 1)


def test_the_encoder_gives_its_strides():
    encoder = unet(None, width=4, depth=3, stem=2)
    levels, _ = encoder.init_with_output(jax.random.key(0), jnp.zeros((1, 16, 24, 5)))
    assert encoder.strides == (2, 4, 8)
    assert [level.shape for level in levels] == [(1, 8, 12, 4), (1, 4, 6, 8), (1, 2, 3, 16)]


@pytest.mark.parametrize(
    "kind",
    [
        "decoder",
        "pooled",
        *(pytest.param(k, marks=pytest.mark.slow) for k in ("estimate", "unrolled", "dense", "upscale")),
    ],
)
def test_every_head_takes_any_image_size(kind):
    """13 × 18 is a multiple of no stride; what comes out has the size of what was seen."""
    parameters = {"iterations": 2} if kind == "unrolled" else {}
    head = HEADS[kind](None, 3, **parameters)
    model = MultiTask(unet(None, width=4, depth=2), tiny.hard(("task",)), {"task": head}, {"task": "seen"})
    seen = {"seen": observed(13, 18)}
    out = jax.jit(lambda seen: model.apply(model.init(jax.random.key(0), seen), seen))(seen)["task"]
    assert out.shape == ((2, 3) if kind == "pooled" else (2, 13, 18, 3))
    assert out.dtype == jnp.float32 and bool(jnp.isfinite(out).all())


def test_a_plain_decoder_starts_as_the_observation():
    model = MultiTask(unet(None, width=4, depth=2), tiny.hard(("t",)), {"t": HEADS["decoder"](None, 3)}, {"t": "seen"})
    seen = {"seen": observed(16, 16)}
    np.testing.assert_array_equal(model.apply(model.init(jax.random.key(0), seen), seen)["t"], seen["seen"].y)


SEEN: list = []


class Counting(nn.Module):
    """An encoder that notes the batches it is given."""

    strides: tuple[int, ...] = (2,)

    @nn.compact
    def __call__(self, x):
        SEEN.append(x.shape)
        return (nn.Conv(4, (3, 3), 2)(x),)


def test_observations_of_one_shape_pass_the_encoder_together():
    parts = tiny.experiment()
    seen = observe_for_evaluation(parts.observations, jnp.arange(4), {"image": jnp.zeros((4, 16, 16, 3))})
    model = MultiTask(Counting(), parts.model.sharing, {}, {})
    params = {"encoder": model.encoder.init(jax.random.key(0), jnp.zeros((1, 2, 2, 5)))["params"]}
    SEEN.clear()
    pyramids = model.encode(params, seen)
    assert SEEN == [(8, 16, 16, 5), (4, 8, 8, 5)]  # blurred and masked; then the small one
    apart = model.encode(params, {"masked": seen["masked"]})
    np.testing.assert_allclose(pyramids["masked"].finest, apart["masked"].finest, atol=1e-6)


@pytest.mark.slow
def test_a_head_is_initialized_alike_alone_and_among_others():
    together = tiny.initial(tiny.experiment(encoder=tiny.Plain())).params
    alone = tiny.initial(tiny.experiment(("digit",), encoder=tiny.Plain())).params
    for left, right in zip(
        jax.tree.leaves((together["encoder"], together["heads"]["digit"])),
        jax.tree.leaves((alone["encoder"], alone["heads"]["digit"])),
        strict=True,
    ):
        np.testing.assert_array_equal(left, right)


def test_task_bias_is_each_task_s_own():
    parts = tiny.experiment(("digit", "segment"))
    state = tiny.initial(parts)
    seen = observe_for_evaluation(parts.observations, jnp.arange(2), {"image": jnp.full((2, 16, 16, 3), 0.5)})
    params = jax.tree.map(lambda x: x + 0.1 * jax.random.normal(jax.random.key(1), x.shape), state.params)
    before = parts.model.apply(params, seen)
    digit = params["sharing"]["task_digit"]
    sharing = {**params["sharing"], "task_digit": {**digit, "bias0": digit["bias0"] + 1}}
    after = parts.model.apply({**params, "sharing": sharing}, seen)
    np.testing.assert_array_equal(before["segment"], after["segment"])
    assert not np.allclose(before["digit"], after["digit"])


def test_the_encoder_is_told_where_there_is_data():
    from mtjax.models.multitask import encoder_input

    mask = jnp.zeros((2, 8, 8, 1)).at[:, :, :4].set(1)
    seen = Observed(jnp.ones((2, 8, 8, 3)), Mask(mask), jnp.full((2, 1, 1, 1), 0.1))
    x = encoder_input(seen)
    assert x.shape == (2, 8, 8, 5)
    np.testing.assert_array_equal(x[..., 3:4], mask)
    np.testing.assert_allclose(x[..., 4], 0.1)


def test_a_pyramid_crops_what_padding_added():
    pyramid = Pyramid((jnp.zeros((1, 4, 4, 2)),), (2,), (7, 5))
    assert pyramid.image(jnp.zeros((1, 8, 8, 3))).shape == (1, 7, 5, 3)
    assert pyramid.image(jnp.zeros((1, 16, 16, 3)), 2).shape == (1, 14, 10, 3)
