"""A recipe taken through source, observations, network and losses, on shapes alone."""

import jax
import jax.numpy as jnp

from mtjax import config, data
from mtjax.data import pipeline
from mtjax.train.build import build
from mtjax.train.step import make_eval_step, observe_for_evaluation


def resolved(file, changes):
    """The config of a file with changes from the command line."""
    return config.resolve(config.read(str(file)), changes)[0]


def traced(recipe, batch_size=2):
    """The test source, its first batch and the names of all metrics of it, of which every task has some."""
    source = data.build(recipe.data, "test")
    experiment = build(recipe, source.info, len(source))
    batch = next(pipeline.eval_batches(source, batch_size))

    def observed():
        return observe_for_evaluation(experiment.observations, jnp.asarray(batch["index"]), data.to_device_batch(batch))

    params = jax.eval_shape(experiment.model.init, jax.random.key(0), jax.eval_shape(observed))
    metrics, _ = jax.eval_shape(make_eval_step(experiment), params, batch)
    assert {name.partition("/")[0] for name in metrics} == set(recipe.tasks)
    return source, batch, set(metrics)
