"""Losses against closed forms; one value per example; finite gradients in the awkward places; the builder."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtjax.tasks import losses

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.random((3, 24, 24, 3)), jnp.float32)
Y = jnp.asarray(RNG.random((3, 24, 24, 3)), jnp.float32)
LOGITS = jnp.asarray(RNG.normal(size=(3, 6, 5, 4)), jnp.float32)
LABELS = jnp.asarray(RNG.integers(0, 4, (3, 6, 5)), jnp.int32)
VOID = LABELS.at[0].set(-1).at[1, :2].set(255)
EDGES = jnp.zeros((3, 24, 24)).at[0, 5].set(1.0).at[1].set(1.0)  # some, all, none

CASES = {
    "l1": (X, Y), "l2": (X, Y), "charbonnier": (X, Y), "ssim": (X, Y), "ms_ssim": (X, Y), "focal": (LOGITS, VOID),
    "cross_entropy": (LOGITS, VOID), "dice": (LOGITS, VOID), "balanced_bce": (X[..., 0] - 0.5, EDGES),
    "silog": (X[..., 0], Y[..., 0]), "depth_edges": (X[..., 0], Y[..., 0]), "cosine": (X - 0.5, Y - 0.5),
    "end_point": (X[..., :2], Y[..., :2]), "gradient": (X, Y), "frequency": (X, Y),
    "bce": (X[..., 0] - 0.5, EDGES), "binary_focal": (X[..., 0] - 0.5, EDGES), "soft_iou": (X[..., 0] - 0.5, EDGES),
}  # fmt: skip


def test_every_loss_has_a_case():
    assert set(CASES) == set(losses.LOSSES)


@pytest.mark.parametrize("name", CASES)
def test_one_value_per_example_that_no_other_example_changes(name):
    prediction, target = CASES[name]
    loss = jax.jit(losses.LOSSES[name])
    values = loss(prediction, target)
    assert values.shape == (3,) and values.dtype == jnp.float32
    np.testing.assert_allclose(loss(prediction[1:2], target[1:2])[0], values[1], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("where", ["apart", "equal", "zero", "certain"])
def test_gradients_are_finite(name, where):
    prediction, target = CASES[name]
    if where == "zero":
        prediction = jnp.zeros_like(prediction)
        target = jnp.zeros_like(target)
    elif where == "equal" and prediction.shape == target.shape:
        prediction = target
    elif where == "certain":
        prediction = 1e4 * jnp.sign(prediction - 0.1)
    for gamma in (0.5, 2.0) if name == "focal" else (None,):
        loss = losses.build(name if gamma is None else {"kind": name, "gamma": gamma})
        value, slope = jax.jit(jax.value_and_grad(lambda p, t, f=loss: f(p, t).sum()))(prediction, target)
        assert jnp.isfinite(value) and jnp.all(jnp.isfinite(slope))


def test_differences():
    d = np.asarray(X - Y, np.float64)
    axes = (1, 2, 3)
    np.testing.assert_allclose(losses.l1(X, Y), np.abs(d).mean(axes), rtol=1e-5)
    np.testing.assert_allclose(losses.l2(X, Y), (d**2).mean(axes), rtol=1e-5)
    np.testing.assert_allclose(losses.charbonnier(X, Y, epsilon=0.1), np.sqrt(d**2 + 0.01).mean(axes), rtol=1e-5)
    np.testing.assert_allclose(losses.ssim_loss(X, X), 0, atol=1e-6)


def test_cross_entropy_ignores_void_and_smooths():
    log_p = np.asarray(jax.nn.log_softmax(LOGITS), np.float64)
    right = -np.take_along_axis(log_p, np.asarray(LABELS)[..., None], -1)[..., 0]
    np.testing.assert_allclose(losses.cross_entropy(LOGITS, VOID), [0, right[1, 2:].mean(), right[2].mean()], rtol=1e-5)
    smooth = (0.8 * right - 0.2 * log_p.mean(-1)).mean((1, 2))
    np.testing.assert_allclose(losses.cross_entropy(LOGITS, LABELS, smoothing=0.2), smooth, rtol=1e-5)
    np.testing.assert_allclose(losses.focal(LOGITS, LABELS, gamma=0.0), right.mean((1, 2)), rtol=1e-5)
    focal = ((1 - np.exp(-right)) ** 2 * right).mean((1, 2))
    np.testing.assert_allclose(losses.focal(LOGITS, LABELS), focal, rtol=1e-5)


def test_classification_has_no_pixels():
    flat = LOGITS[:, 0, 0], LABELS[:, 0, 0]
    expected = -np.asarray(jax.nn.log_softmax(flat[0]))[np.arange(3), flat[1]]
    np.testing.assert_allclose(losses.cross_entropy(*flat), expected, rtol=1e-5)


def test_dice_is_zero_when_certain_and_right_and_leaves_absent_classes_out():
    certain = 100 * jax.nn.one_hot(jnp.minimum(LABELS, 2), 4)
    np.testing.assert_allclose(losses.dice(certain, jnp.minimum(LABELS, 2)), 0, atol=1e-6)
    p, t = np.asarray(jax.nn.softmax(LOGITS)[2], np.float64), np.eye(4)[np.asarray(LABELS[2])]
    expected = np.mean(1 - (2 * (p * t).sum((0, 1)) + 1) / (p.sum((0, 1)) + t.sum((0, 1)) + 1))
    np.testing.assert_allclose(losses.dice(LOGITS, LABELS)[2], expected, rtol=1e-5)


def test_balanced_bce_weighs_both_sides_the_same():
    edges = jnp.zeros((1, 10, 10)).at[:, 0].set(1.0)  # a tenth
    logits = jnp.where(edges > 0, 1.0, -2.0)
    expected = 0.5 * np.log1p(np.exp(-1)) + 0.5 * np.log1p(np.exp(-2))
    np.testing.assert_allclose(losses.balanced_bce(logits, edges), expected, rtol=1e-5)
    without_any = losses.balanced_bce(jnp.ones((1, 10, 10)), jnp.zeros((1, 10, 10)))
    assert without_any[0] > 1  # which still teaches


def test_weighted_sum():
    loss = losses.build({"l1": 1.0, "ssim": 0.2})
    np.testing.assert_allclose(loss(X, Y), losses.l1(X, Y) + 0.2 * losses.ssim_loss(X, Y), rtol=1e-6)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("charbonier", "unknown loss 'charbonier'; did you mean 'charbonnier'"),
        ({"l1": 1.0, "sim": 0.1}, "unknown loss 'sim'; did you mean 'ssim'"),
        ({"kind": "focal", "gama": 1.0}, "unknown parameter 'gama' of loss 'focal'; did you mean 'gamma'"),
        ({}, "an empty loss"),
    ],
)
def test_a_wrong_spec_is_named_with_the_nearest(spec, message):
    with pytest.raises(ValueError, match=message):
        losses.build(spec)
