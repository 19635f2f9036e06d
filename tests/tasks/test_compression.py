"""The learned codec: what its bits are worth, that nothing but the bits reaches the image, and the files it writes."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
import tiny

from mtjax.bitstream import HEADER, Codec, pack, unpack
from mtjax.models import HEADS, MultiTask
from mtjax.models.encoders import unet
from mtjax.models.heads.entropy import LARGEST, Factorized, frequencies, quantize
from mtjax.models.pyramid import Pyramid
from mtjax.models.sharing import hard
from mtjax.physics import Identity, Observed
from mtjax.tasks import compression
from mtjax.train import Trained

RNG = np.random.default_rng(0)
TASK = compression("codec", tiny.INFO, observation="seen", weight=0.05)
ENTROPY = Factorized()


def entropy_params(channels: int = 3) -> dict:
    draw = {name: RNG.normal(size=(channels, 3)) for name in ("logits", "means", "log_scales")}
    return {name: jnp.asarray(value * (4 if name == "means" else 1), jnp.float32) for name, value in draw.items()}


@jax.jit
def bits(params, symbols):
    return ENTROPY.apply({"params": params}, symbols)


def test_bits_are_those_of_the_mixture_that_scipy_integrates():
    params = entropy_params()
    symbols = RNG.integers(-12, 13, (2, 4, 5, 3))
    logits, means, scales = (np.asarray(params[k], np.float64) for k in ("logits", "means", "log_scales"))
    weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    low, high = (scipy.stats.logistic.cdf(symbols[..., None] + d, means, np.exp(scales)) for d in (-0.5, 0.5))
    expected = -np.log2(((high - low) * weights).sum(-1)).sum((1, 2, 3))
    np.testing.assert_allclose(bits(params, jnp.asarray(symbols, jnp.float32)), expected, rtol=1e-4)


def test_frequencies_are_the_same_distribution_in_integers():
    params = entropy_params()
    counts = frequencies(params)
    assert counts.dtype == np.int64 and counts.min() >= 1 and counts.shape == (3, 2 * LARGEST + 1)
    every = jnp.broadcast_to(jnp.arange(-8.0, 9.0)[:, None, None, None], (17, 1, 1, 3))
    for channel in range(3):
        one = jax.tree.map(lambda leaf, c=channel: leaf[c : c + 1], params)
        cost = bits(one, every[..., :1])
        share = counts[channel, LARGEST - 8 : LARGEST + 9] / counts[channel].sum()
        np.testing.assert_allclose(2.0 ** -np.asarray(cost), share, rtol=2e-3, atol=3e-6)


@pytest.mark.parametrize("scale", [-100.0, -7.0, 0.0, 7.0, 100.0])
def test_the_rate_and_its_gradients_are_finite_everywhere(scale):
    params = {**entropy_params(), "log_scales": jnp.full((3, 3), scale)}
    symbols = jnp.asarray([-1e4, -127.0, 0.0, 127.0, 1e4])[:, None, None, None] * jnp.ones((1, 1, 1, 3))
    value, slopes = jax.jit(jax.value_and_grad(lambda p, x: bits(p, x).sum(), argnums=(0, 1)))(params, symbols)
    assert np.isfinite(value) and value > 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))
    assert frequencies(params).min() >= 1


def test_symbols_are_bounded_integers_with_the_gradient_of_the_identity():
    x = jnp.asarray([-1e6, -1.4, 0.2, 0.6, 126.7, 300.0])
    np.testing.assert_array_equal(quantize(x), [-127, -1, 0, 1, 127, 127])
    np.testing.assert_array_equal(jax.grad(lambda x: quantize(x).sum())(x), 1)


class World:
    """A codec on an encoder as it was born; the head alone is trained, as far as it takes to have something to say."""

    def __init__(self):
        model = MultiTask(
            encoder=unet(None, width=4, depth=2),
            sharing=hard(("codec",)),
            heads={"codec": HEADS["bottleneck"](None, 3, latents=4, width=8, depth=1)},
            reads={"codec": "seen"},
        )
        self.image = jnp.asarray(tiny.batch(4)["image"], jnp.float32) / 255
        observed = {"seen": Observed(self.image, Identity(), jnp.zeros((4, 1, 1, 1)))}
        params = jax.jit(model.init)(jax.random.key(0), observed)
        features = jax.jit(model.encode)(params, observed)
        head = params.pop("heads")["codec"]

        @jax.jit
        def step(head):
            def loss(head):
                prediction = model.heads["codec"].apply({"params": head}, features["seen"], observed["seen"])
                return TASK.loss(prediction, self.image).mean()

            value, slope = jax.value_and_grad(loss)(head)
            norm = jnp.sqrt(sum(jnp.sum(s**2) for s in jax.tree.leaves(slope)))
            return value, jax.tree.map(lambda p, s: p - 0.05 * s / jnp.maximum(norm, 1), head, slope)

        self.losses = []
        for _ in range(60):
            value, head = step(head)
            self.losses.append(float(value))
        self.head, self.module = head, model.heads["codec"]
        spec = {"operator": {"kind": "identity"}, "noise": {"kind": "none"}}
        experiment = dataclasses.replace(
            tiny.experiment(("digit",)), model=model, tasks={"codec": TASK}, observations={"seen": spec}
        )
        self.trained = Trained({}, experiment, {**params, "heads": {"codec": head}}, tiny.INFO, 0)


@functools.cache
def world() -> World:
    return World()


@functools.cache
def codec() -> Codec:
    return Codec(world().trained, "codec")


@pytest.mark.slow
def test_it_learns():
    losses = world().losses
    assert np.isfinite(losses).all() and losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("shape", [(16, 16), (13, 10)])
def test_what_is_decoded_is_exactly_what_the_network_shows(shape):
    image = np.asarray(world().image[1])[: shape[0], : shape[1]]
    prediction = codec().predict(image)
    stream = codec().encode(image)
    decoded = codec().decode(stream)
    assert decoded.shape == image.shape
    np.testing.assert_array_equal(decoded, prediction["image"][0])
    assert np.ptp(prediction["latent"]) > 0


def test_a_stream_is_as_long_as_estimated():
    params = entropy_params(5)
    counts = frequencies(params)
    cells = [RNG.choice(2 * LARGEST + 1, size=(40, 50), p=row / row.sum()) - LARGEST for row in counts]
    symbols = np.stack(cells, -1)
    stream = pack(symbols, counts, (160, 200))
    estimate = float(bits(params, jnp.asarray(symbols, jnp.float32)[None])[0])
    assert abs(8 * (len(stream) - HEADER.size) - estimate) < 0.01 * estimate + 64
    again, size = unpack(stream, counts, 4, 4)
    np.testing.assert_array_equal(again, symbols)
    assert size == (160, 200)


def test_the_estimate_of_a_trained_network_holds_for_its_files():
    image = np.asarray(world().image[0])
    estimate = float(codec().predict(image)["bits"][0])
    assert abs(8 * (len(codec().encode(image)) - HEADER.size) - estimate) < 0.03 * estimate + 64


def test_every_symbol_can_be_written_also_those_that_were_never_likely():
    counts = frequencies({**entropy_params(2), "log_scales": jnp.full((2, 3), -7.0)})
    symbols = np.arange(-LARGEST, LARGEST + 1).reshape(1, -1, 1).repeat(2, -1)
    again, _ = unpack(pack(symbols, counts, (1, 255)), counts, 1, 1)
    np.testing.assert_array_equal(again, symbols)


def test_a_wrong_stream_is_named_in_one_line():
    image = np.asarray(world().image[0])
    stream = codec().encode(image)
    for noise in (b"", b"\x00" * 7, RNG.bytes(20), RNG.bytes(500), b"\x89PNG\r\n\x1a\n" + RNG.bytes(50)):
        with pytest.raises(ValueError, match=r"^\d+ bytes that are no stream"):
            codec().decode(noise)
    for place in range(8, len(stream)):
        damaged = bytearray(stream)
        damaged[place] ^= 0x10
        with pytest.raises(ValueError, match=r"damaged|another network"):
            codec().decode(bytes(damaged))
    for cut in (stream[:-1], stream[:-4], stream + b"\x00\x00\x00\x00"):
        with pytest.raises(ValueError, match="damaged"):
            codec().decode(cut)
    foreign = pack(np.zeros((4, 4, 4), int), frequencies(entropy_params(4)), (16, 16))
    with pytest.raises(ValueError, match="another network"):
        codec().decode(foreign)


def test_nothing_but_the_integers_reaches_the_image():
    """The same integers, without the features and the observation that they came from, give the same image."""
    params = {"params": world().head}
    levels = tuple(jnp.asarray(RNG.normal(size=(1, 16 // s, 16 // s, c)), jnp.float32) for s, c in ((2, 4), (4, 8)))
    observed = Observed(world().image[:1], Identity(), jnp.zeros((1, 1, 1, 1)))
    out = jax.jit(world().module.apply)(params, Pyramid(levels, (2, 4), (16, 16)), observed)
    again: Any = world().module.apply(params, out["latent"].astype(jnp.float32), 4, method="image")
    np.testing.assert_allclose(out["image"], again, atol=1e-6)


def test_metrics_and_loss_by_hand():
    image = jnp.asarray(RNG.random((2, 12, 12, 3)), jnp.float32)
    coded = {"image": image + 0.1, "bits": jnp.asarray([144.0, 288.0]), "latent": jnp.zeros((2, 3, 3, 1), jnp.int32)}
    np.testing.assert_allclose(TASK.loss(coded, image), np.asarray([1, 2]) + 0.05 * 255**2 * 0.01, rtol=1e-4)
    scores = TASK.metrics(coded, image)
    np.testing.assert_allclose(scores["bits_per_pixel"][0], [1, 2])
    assert TASK.headline == "psnr" and TASK.better["bits_per_pixel"] == "lower"
    assert TASK.picture({"image": np.asarray(image[0])}).shape == (12, 12, 3)
    with pytest.raises(ValueError, match="weight must be greater than 0, got 0"):
        compression("codec", tiny.INFO, observation="seen", weight=0)
