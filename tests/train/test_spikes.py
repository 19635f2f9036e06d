"""Loss spikes: the running mean and variance, what counts as a spike, and that a step which is one changes nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from mtjax.train import state as states
from mtjax.train.spikes import DECAY, WARMUP, no_history, remembered, spiked
from mtjax.train.step import make_train_step

PRESENT = jnp.ones(2, bool)


def history_of(losses, present=None):
    history = no_history(losses.shape[1])
    for i, row in enumerate(losses):
        history = remembered(history, jnp.asarray(row), PRESENT if present is None else jnp.asarray(present[i]))
    return history


def test_at_first_mean_and_variance_are_plain_ones():
    losses = np.random.default_rng(0).lognormal(1.0, 0.3, (30, 2)).astype(np.float32)
    history = history_of(losses)
    np.testing.assert_allclose(history["mean"], np.log(losses).mean(0), rtol=1e-5)
    np.testing.assert_allclose(history["variance"], np.log(losses).var(0), rtol=1e-4)


def test_later_they_are_exponential_averages():
    losses = np.random.default_rng(1).lognormal(0.0, 0.5, (400, 2)).astype(np.float32)
    weights = DECAY ** np.arange(399, -1, -1.0)[:, None]
    log = np.log(losses)
    mean = (weights * log).sum(0) / weights.sum(0)
    history = history_of(losses)
    np.testing.assert_allclose(history["mean"], mean, atol=5e-3)  # how it began weighs 0.98^350 = 1e-3
    np.testing.assert_allclose(history["variance"], (weights * (log - mean) ** 2).sum(0) / weights.sum(0), rtol=2e-2)


def test_a_loss_far_above_is_a_spike_in_its_own_task_and_one_far_below_is_none():
    rng = np.random.default_rng(2)
    history = history_of(rng.lognormal(0.0, 0.1, (200, 2)).astype(np.float32))
    for losses, expected in (((1.2, 1.2), (0, 0)), ((1.2, 2.0), (0, 1)), ((0.01, 1.0), (0, 0)), ((np.nan, 9), (0, 1))):
        assert spiked(history, jnp.array(losses), PRESENT, 5.0).tolist() == list(map(bool, expected))
    assert not spiked(history, jnp.array([1.0, 2.0]), jnp.array([True, False]), 5.0).any()


def test_nothing_is_a_spike_at_first_and_absent_tasks_are_not_counted():
    losses = np.ones((WARMUP - 1, 2), np.float32)
    assert not spiked(history_of(losses), jnp.array([1e6, 1e6]), PRESENT, 3.0).any()
    present = np.stack([np.ones(2 * WARMUP, bool), np.arange(2 * WARMUP) % 4 == 0], 1)
    history = history_of(np.ones((2 * WARMUP, 2), np.float32), present)
    assert history["count"].tolist() == [2 * WARMUP, WARMUP // 2]
    assert spiked(history, jnp.array([2.0, 2.0]), PRESENT, 3.0).tolist() == [True, False]


@pytest.fixture(scope="module")
def trained():
    """A step that skips spikes, and the state of a network that has learned one batch."""
    parts = tiny.experiment(("inpaint", "digit"), encoder=tiny.Plain())
    step = jax.jit(make_train_step(parts, spike=6.0))
    state = tiny.initial(parts)
    state = states.create(state.params, parts.optimizer, parts.balancing, 2, seed=0, spikes=True)
    for _ in range(WARMUP + 22):
        state, metrics = step(state, tiny.batch())
    assert int(metrics["skipped"]) == 0
    return step, state


def test_a_step_that_is_a_spike_changes_nothing_and_is_counted(trained):
    step, state = trained
    batch = tiny.batch()
    batch["image"] = 255 - batch["image"]  # what inpainting has never met
    after, metrics = step(state, batch)
    assert metrics["spiked"].tolist() == [True, False] and int(metrics["skipped_in_row"]) == 1
    assert (int(after.step), int(after.skipped)) == (int(state.step) + 1, 1)
    for name in ("params", "optimizer", "weighting", "totals", "spikes"):
        jax.tree.map(np.testing.assert_array_equal, getattr(after, name), getattr(state, name))
    again, metrics = step(after, tiny.batch())
    assert int(metrics["skipped"]) == 1 and int(metrics["skipped_in_row"]) == 0
    assert float(again.spikes["count"][0]) == float(state.spikes["count"][0]) + 1
