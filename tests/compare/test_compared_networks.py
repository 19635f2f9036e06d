"""What is compared of a network: one task's part of it, whatever its tasks share."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from mtjax.compare.methods import learned
from mtjax.models.sharing import cross_stitch, soft
from mtjax.record import locked
from mtjax.train.evaluation import Trained
from mtjax.train.step import observe_for_evaluation

NAMES = ("deblur", "edges", "inpaint")  # the last two read the same observation


def network(make):
    parts = tiny.experiment(NAMES, encoder=tiny.Plain())
    parts = dataclasses.replace(parts, model=dataclasses.replace(parts.model, sharing=make(NAMES)))
    params = tiny.initial(parts).params
    params["encoder"] = jax.tree.map(
        lambda leaf: leaf * jnp.arange(1.0, 4).reshape(3, *[1] * (leaf.ndim - 1)), params["encoder"]
    )
    return Trained(locked({}), parts, params, tiny.INFO, 1)


def test_of_networks_with_an_encoder_per_task_the_tasks_own_is_taken():
    trained = network(soft)
    image = jnp.asarray(tiny.batch(2)["image"], jnp.float32) / 255
    observed = observe_for_evaluation(trained.experiment.observations, jnp.arange(2), {"image": image})
    run = jax.jit(learned(trained, "inpaint").run)
    whole = jax.jit(trained.model.apply)(trained.params, observed)["inpaint"]
    np.testing.assert_allclose(run(trained.params, observed["masked"]), whole, atol=1e-5)


def test_a_head_that_needs_other_observations_is_refused():
    said = "compare.inpaint: what tasks read of 'masked' depends on blurred too: CrossStitch"
    with pytest.raises(ValueError, match=said):
        learned(network(cross_stitch), "inpaint")
