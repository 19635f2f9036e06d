"""Task relations: the closed form of the covariance, and the price on the heads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtjax.models import SHARINGS
from mtjax.models.sharing.relation import SMALLEST, covariance, inverse

W = np.random.default_rng(0).normal(size=(20, 3))


def test_the_covariance_is_one():
    omega = np.asarray(covariance(jnp.asarray(W.T @ W, jnp.float32)))
    np.testing.assert_allclose(np.trace(omega), 1, rtol=1e-6)
    np.testing.assert_allclose(omega, omega.T, atol=1e-7)
    assert np.linalg.eigvalsh(omega)[0] > 0
    singular = np.linalg.svd(W)
    root = singular[2].T * singular[1] @ singular[2]
    np.testing.assert_allclose(omega, root / np.trace(root), atol=1e-6)


def test_unrelated_and_identical_tasks():
    np.testing.assert_allclose(covariance(4 * jnp.eye(3)), np.eye(3) / 3, atol=1e-6)
    np.testing.assert_allclose(covariance(jnp.zeros((2, 2))), np.eye(2) / 2)
    w = W[:, :1] @ np.ones((1, 4))
    np.testing.assert_allclose(covariance(jnp.asarray(w.T @ w, jnp.float32)), np.full((4, 4), 1 / 4), atol=1e-3)


def test_it_is_the_best_relation():
    gram = jnp.asarray(W.T @ W, jnp.float32)
    least = float(jnp.trace(inverse(covariance(gram)) @ gram))
    np.testing.assert_allclose(least, np.linalg.svd(W)[1].sum() ** 2, rtol=1e-5)
    for seed in range(20):
        other = np.random.default_rng(seed).normal(size=(5, 3))
        other = other.T @ other
        assert np.trace(np.linalg.inv(other / np.trace(other)) @ W.T @ W) >= least


def test_an_inverse_is_bounded():
    eigenvalues = np.linalg.eigvalsh(np.asarray(inverse(jnp.full((3, 3), 1 / 3))))
    np.testing.assert_allclose(eigenvalues, [1, 1 / SMALLEST, 1 / SMALLEST], rtol=1e-3)


def heads(w=W, more=()):
    """Two layers per head; only the kernels of the first have one shape, and their biases do not count."""
    rng = np.random.default_rng(1)
    own = {"out": [2, 3, 4]}
    return {
        task: {
            "hidden": {"kernel": jnp.asarray(w[:, i].reshape(4, 5), jnp.float32), "bias": jnp.ones(5)},
            "out": {"kernel": jnp.asarray(rng.normal(size=(5, own["out"][i])), jnp.float32)},
        }
        for i, task in enumerate("abc")
    } | dict(more)


def test_the_price_and_its_gradient():
    """By the envelope theorem, holding Ω constant gives the gradient of the least price over all Ω."""
    sharing = SHARINGS["relation"](("a", "b", "c"), weight=0.2)

    def price(hidden):
        return sharing.penalty({"heads": heads() | {t: {"hidden": {"kernel": hidden[t]}} for t in "abc"}})

    hidden = {task: own["hidden"]["kernel"] for task, own in heads().items()}
    nuclear = lambda w: 0.1 * np.linalg.svd(w)[1].sum() ** 2  # noqa: E731
    np.testing.assert_allclose(sharing.penalty({"heads": heads()}), nuclear(W), rtol=1e-5)
    gradient = jax.grad(price)(hidden)
    for i, task in enumerate("abc"):
        for place in (0, 7, 19):
            h = np.zeros_like(W)
            h[place, i] = 1e-5
            slope = (nuclear(W + h) - nuclear(W - h)) / 2e-5
            np.testing.assert_allclose(gradient[task].reshape(-1)[place], slope, rtol=1e-3)


def test_what_is_shown():
    odd = {"d": {"other": {"kernel": jnp.ones((2, 2))}}}
    names, matrix = SHARINGS["relation"](("a", "d", "b", "c")).matrix({"heads": heads(more=odd)})
    assert names == ("a", "b", "c")
    np.testing.assert_allclose(matrix, covariance(jnp.asarray(W.T @ W, jnp.float32)), atol=1e-6)
    given = ((2.0, 0.5, 0.0, 0.0), (0.5, 2.0, 0.0, 1.0), (0.0, 0.0, 2.0, 0.0), (0.0, 1.0, 0.0, 2.0))
    sharing = SHARINGS["relation"](("a", "d", "b", "c"), weight=2.0, given=given)
    names, matrix = sharing.matrix({"heads": heads(more=odd)})
    np.testing.assert_allclose(matrix, np.eye(3) / 3, atol=1e-6)  # what is said of "d" plays no part
    np.testing.assert_allclose(sharing.penalty({"heads": heads(more=odd)}), 3 * np.sum(W**2), rtol=1e-5)


def test_heads_with_nothing_in_common_are_named():
    other = {"a": {"x": {"kernel": jnp.ones((2, 2))}}, "b": {"x": {"kernel": jnp.ones((2, 3))}}}
    with pytest.raises(ValueError, match="no two of the heads of a, b have a kernel of the same name and shape"):
        SHARINGS["relation"](("a", "b")).penalty({"heads": other})


def test_one_task_alone_has_no_relations():
    sharing = SHARINGS["relation"](("a",), given=((1.0, 0.5), (0.5, 1.0)))
    assert float(sharing.penalty({"heads": {"a": heads()["a"]}})) == 0
    assert sharing.matrix({"heads": {"a": heads()["a"]}})[1].shape == (1, 1)
