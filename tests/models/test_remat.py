import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from mtjax.models.sharing import cross_stitch
from mtjax.train.step import observe_for_evaluation


def test_computing_again_changes_no_gradient_and_keeps_less():
    parts = tiny.experiment(("deblur", "segment"))
    batch = {"image": jnp.asarray(tiny.batch()["image"], jnp.float32) / 255}
    observed = observe_for_evaluation(parts.observations, jnp.arange(4), batch)
    params = jax.jit(parts.model.init)(jax.random.key(0), observed)

    def loss(params, remat):
        model = dataclasses.replace(parts.model, remat=remat)
        return sum(jnp.mean(jnp.sin(jnp.arange(x.size) + x.ravel())) for x in model.apply(params, observed).values())

    def kept(remat):
        back = jax.eval_shape(lambda p: jax.vjp(lambda p: loss(p, remat), p)[1], params)
        return sum(leaf.size for leaf in jax.tree.leaves(back)) - sum(leaf.size for leaf in jax.tree.leaves(params))

    plain, again = (jax.jit(jax.grad(lambda p, remat=remat: loss(p, remat)))(params) for remat in (False, True))
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(again), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * float(jnp.abs(a).max()) + 1e-7)
    assert kept(True) < kept(False) / 3


def test_encoders_that_exchange_features_keep_them():
    parts = tiny.experiment(("deblur", "segment"))
    with pytest.raises(ValueError, match="remat=True: the encoders of"):
        dataclasses.replace(parts.model, sharing=cross_stitch(("deblur", "segment")), remat=True)
