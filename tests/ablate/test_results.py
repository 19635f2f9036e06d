"""The rate chosen on validation, Δm over seeds, and what is noise: against numbers worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
from finished_runs import World

from mtjax.ablate.results import apart, choose, to_json
from mtjax.compare.statistics import sure


def rows(ablation):
    return {row.method.name: row for row in ablation.rows}


def test_delta_m_of_each_seed_is_against_the_mean_alone(world):
    found = rows(world.collect())
    # alone: 2 and 4. deblur's two metrics are +0, +5, +10 %, digit's four +0, +10, +20 %.
    assert found["equal-hard"].delta_m_task == pytest.approx((0, 7.5, 15))
    flat = [-(2 * a + 4 * b) / 6 for a, b in ((0, 0), (5, 10), (10, 20))]
    assert found["equal-hard"].delta_m_flat == pytest.approx(flat)
    assert found["mgda-hard"].delta_m_task == pytest.approx((5, 12.5, 20))


def test_the_tasks_alone_are_at_zero_with_their_own_spread(world):
    reference = world.collect().reference
    assert reference.delta_m_task == pytest.approx((-2.5, 0, 2.5))
    assert reference.cost.seconds == pytest.approx(0.03) and reference.cost.parameters == 2000


def test_a_difference_of_every_seed_is_no_noise_and_one_of_some_is(world):
    found = rows(world.collect())
    assert found["equal-hard"].over_equal is None
    over = found["mgda-hard"].over_equal
    assert (over.delta_m_task.mean, over.delta_m_task.low) == pytest.approx((5, 5))
    assert apart(found["mgda-hard"]) is True
    assert over.headlines["deblur"].mean == pytest.approx(0.2) and sure(over.headlines["deblur"]) is True
    assert over.headlines["digit"].mean == 0 and sure(over.headlines["digit"]) is None


def test_the_rate_is_chosen_on_validation_not_on_test(tmp_path):
    world = World(tmp_path, weightings="equal", rates="1e-3,1e-2")
    together = {"deblur": (1.0, 1.0, 1.0), "digit": (1.0, 1.0, 1.0)}
    better = dict.fromkeys(together, (9.0, 9.0, 9.0))
    for task in together:
        world.ended(f"alone-{task}", {task: (1.0, 1.0, 1.0)}, 1e-3, validation=0.7)
        world.ended(f"alone-{task}", {task: (9.0, 9.0, 9.0)}, 1e-2, validation=0.8)
    world.ended("equal-hard", together, 1e-3, validation=0.5)
    world.ended("equal-hard", better, 1e-2, validation=0.6)
    ablation = world.collect()
    row = rows(ablation)["equal-hard"]
    assert row.rate == 1e-3 and row.values["deblur/psnr"] == (1.0, 1.0, 1.0)
    assert row.scores == pytest.approx({1e-3: -np.log(0.5), 1e-2: -np.log(0.6)})
    assert {alone.rate for alone in ablation.alone.values()} == {1e-3}
    assert row.delta_m_task == pytest.approx((0, 0, 0))


def test_a_rate_at_which_a_seed_failed_is_not_chosen():
    assert choose({1e-3: {0: 1.0, 1: 1.0}, 1e-2: {0: 5.0}}) == 1e-3
    assert choose({1e-3: {0: 1.0, 1: 4.0}, 1e-2: {0: 2.0, 1: 2.0}}) == 1e-3
    assert choose({1e-3: {0: float("nan")}, 1e-2: {0: -7.0}}) == 1e-2
    assert choose({1e-3: {}, 1e-2: {}}) is None


def test_a_failed_method_is_a_row_that_says_why(tmp_path):
    world = World(tmp_path, seeds=1)
    for task in world.tasks:
        world.ended(f"alone-{task}", {task: (1.0,)}, seeds=(0,))
    world.ended("equal-hard", {"deblur": (1.0,), "digit": (1.0,)}, seeds=(0,))
    ablation = world.collect({Path("runs/mgda-hard-lr0.001/seed-0"): "20 updates in a row were not finite"})
    row = rows(ablation)["mgda-hard"]
    assert row.problem == "20 updates in a row were not finite"
    assert row.rate is None and row.values == {} and row.delta_m_task == () and row.over_equal is None
    assert apart(rows(ablation)["equal-hard"]) is None


def test_what_is_missing_or_not_finite_leaves_the_rest(tmp_path):
    world = World(tmp_path)
    world.ended("alone-deblur", {"deblur": (2.0, 2.0)}, seeds=(0, 1))
    world.ended("equal-hard", {"deblur": (2.2, float("nan")), "digit": (1.0, 1.0)}, seeds=(0, 1))
    ablation = world.collect()
    assert ablation.compared == ("deblur/psnr", "deblur/ssim")
    equal = rows(ablation)["equal-hard"]
    assert equal.delta_m_task[0] == pytest.approx(10) and np.isnan(equal.delta_m_task[1])
    assert to_json(ablation)["rows"][0]["delta_m_task"][1] is None
    assert ablation.reference.seeds == () and ablation.reference.delta_m_task == ()


def test_only_seeds_that_both_have_are_compared(tmp_path):
    world = World(tmp_path)
    for task in world.tasks:
        world.ended(f"alone-{task}", {task: (1.0, 1.0, 1.0)})
    world.ended("equal-hard", {"deblur": (1.0, 5.0), "digit": (1.0, 5.0)}, seeds=(0, 2))
    world.ended("mgda-hard", {"deblur": (1.1, 9.0, 5.3), "digit": (1.1, 9.0, 5.3)})
    over = rows(world.collect())["mgda-hard"].over_equal
    assert over.headlines["deblur"].mean == pytest.approx(0.2)
