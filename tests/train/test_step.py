import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from mtjax.pytree import replace
from mtjax.train.step import make_eval_step, make_train_step, observe_for_evaluation

SGD = {"kind": "sgd", "lr": 0.1, "clip": 0.0, "schedule": {"kind": "constant"}, "per_task": {}, "momentum": 0.0}


FEW = ("inpaint", "digit", "segment")  # compiles in a third of the time


@functools.cache
def compiled(names=tuple(tiny.NODES), sgd=False):
    parts = tiny.experiment(names, optimizer=SGD if sgd else None)
    return parts, jax.jit(make_train_step(parts)), jax.jit(make_eval_step(parts)), tiny.initial(parts)


def same(a, b):
    for left, right in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if jnp.issubdtype(left.dtype, jax.dtypes.prng_key):
            left, right = jax.random.key_data(left), jax.random.key_data(right)
        np.testing.assert_array_equal(left, right)


@pytest.mark.slow
def test_every_task_learns():
    parts, step, _, state = compiled()
    batch = tiny.batch()
    first = None
    for _ in range(150):
        state, metrics = step(state, batch)
        first = metrics["losses"] if first is None else first
    assert int(metrics["skipped"]) == 0
    for name, before, after in zip(parts.tasks, first, metrics["losses"], strict=True):
        assert after < 0.9 * before, name


def test_a_step_is_a_function_of_its_arguments():
    _, step, _, state = compiled()
    same(step(state, tiny.batch()), step(state, tiny.batch()))


def test_each_step_draws_its_own_noise():
    _, step, _, state = compiled(FEW, sgd=True)
    after, first = step(state, tiny.batch())
    _, second = step(replace(state, step=after.step), tiny.batch())
    assert not np.array_equal(first["losses"], second["losses"])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_changes_nothing_and_is_counted(bad):
    _, step, _, state = compiled()
    state, _ = step(state, tiny.batch())
    batch = tiny.batch()
    batch["boundary"][1, 2, 3] = bad
    after, metrics = step(state, batch)
    assert int(after.step) == 2 and int(metrics["skipped"]) == 1 and int(metrics["skipped_in_row"]) == 1
    same((after.params, after.optimizer, after.weighting), (state.params, state.optimizer, state.weighting))
    np.testing.assert_array_equal(after.totals["loss"], state.totals["loss"])
    again, metrics = step(after, tiny.batch())
    assert int(metrics["skipped"]) == 1 and int(metrics["skipped_in_row"]) == 0
    assert not np.array_equal(jax.tree.leaves(again.params)[0], jax.tree.leaves(after.params)[0])


def test_a_missing_label_never_touches_the_update():
    _, step, _, state = compiled()
    batches = [tiny.batch(), tiny.batch()]
    for batch, wrong in zip(batches, (0, 2), strict=True):
        batch["valid"]["label"][1] = batch["valid"]["segments"][2] = False
        batch["label"][1], batch["segments"][2] = wrong, wrong
    same(step(state, batches[0]), step(state, batches[1]))


def test_an_absent_task_keeps_its_head_and_is_left_out_of_the_mean():
    parts, step, _, state = compiled(FEW, sgd=True)
    batch = tiny.batch()
    batch["valid"]["label"][:] = False
    after, metrics = step(state, batch)
    same(after.params["heads"]["digit"], state.params["heads"]["digit"])
    absent = list(parts.tasks).index("digit")
    expected = np.full(len(parts.tasks), 1 / (len(parts.tasks) - 1))
    expected[absent] = 0
    np.testing.assert_allclose(metrics["weights"], expected, rtol=1e-6)
    assert float(metrics["losses"][absent]) == 0


def test_the_loss_is_the_mean_over_valid_examples():
    _, step, _, state = compiled(FEW, sgd=True)

    def losses(rows):
        batch = tiny.batch()
        for valid in batch["valid"].values():
            valid[:] = np.isin(np.arange(4), rows)
        return np.asarray(step(state, batch)[1]["losses"])

    one, three = losses([1]), losses([0, 2, 3])
    np.testing.assert_allclose(losses([0, 1, 2, 3]), (one + 3 * three) / 4, rtol=2e-4)
    assert not np.allclose(one, three, rtol=1e-2)


def test_epoch_totals_start_anew():
    _, step, _, state = compiled()
    seen = []
    for _ in range(7):
        state, metrics = step(state, tiny.batch())
        seen.append((np.asarray(metrics["losses"]), np.asarray(metrics["epoch_losses"])))
    np.testing.assert_allclose(seen[4][1], np.mean([losses for losses, _ in seen[:5]], 0), rtol=1e-5)
    np.testing.assert_allclose(seen[6][1], np.mean([losses for losses, _ in seen[5:7]], 0), rtol=1e-5)


def test_padding_counts_nowhere_in_evaluation():
    _, _, evaluate, state = compiled()
    sums = []
    for rows in ([0, 1], [2, 3], [0, 1, 2, 3]):
        batch, rest = tiny.batch(), ~np.isin(np.arange(4), rows)
        batch["image"][rest], batch["index"][rest], batch["label"][rest] = 0, -1, 0
        for valid in batch["valid"].values():
            valid[rest] = False
        sums.append(evaluate(state.params, batch)[0])
    first, second, whole = sums
    for name in whole:
        for left, right, both in zip(first[name], second[name], whole[name], strict=True):
            np.testing.assert_allclose(left + right, both, rtol=2e-4, atol=1e-5, err_msg=name)


def test_an_evaluation_example_is_observed_alike_in_any_batch():
    parts = tiny.experiment()
    batch = tiny.batch(4)
    image = jnp.asarray(batch["image"], jnp.float32) / 255
    together = observe_for_evaluation(parts.observations, jnp.asarray(batch["index"]), {"image": image})
    alone = observe_for_evaluation(parts.observations, jnp.asarray(batch["index"][2:3]), {"image": image[2:3]})
    for name in parts.observations:
        np.testing.assert_allclose(together[name].y[2:3], alone[name].y, atol=1e-6)
    only = observe_for_evaluation(
        {"masked": tiny.OBSERVATIONS["masked"]}, jnp.asarray(batch["index"]), {"image": image}
    )
    np.testing.assert_array_equal(together["masked"].y, only["masked"].y)
