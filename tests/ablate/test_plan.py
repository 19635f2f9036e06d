"""What is run, from the flags: names, levels, lists, rates, seeds, and what each config then is. Nothing is trained."""

import dataclasses
from pathlib import Path

import pytest

from mtjax.ablate.plan import check_folder, learning_rates, make_plan
from mtjax.config import resolve
from mtjax.models import SHARINGS
from mtjax.record import save
from mtjax.registry import ConfigError
from mtjax.weighting import WEIGHTINGS

RAW = {
    "data": {"source": "digit_scenes", "size": 32},
    "observations": {"seen": {"operator": {"kind": "identity"}, "noise": {"kind": "gaussian"}}},
    "tasks": {
        "digit": {"kind": "classification", "observation": "seen"},
        "edges": {"kind": "boundary", "observation": "seen"},
    },
    "model": {"sharing": {"kind": "hard", "adapt": "bias"}},
    "weighting": {"kind": "cagrad", "c": 0.3},
    "optimizer": {"lr": 1e-3, "per_task": {"edges": {"lr": 1e-2}}},
    "train": {"seed": 5, "steps": 9},
}


def plan(weightings=None, sharings=None, seeds=1, rates=None, changes=()):
    return make_plan(resolve(RAW, changes)[0], weightings, sharings, seeds, rates)


def labels(made):
    return [(method.label, method.sharing) for method in made.methods if not method.task]


def test_without_flags_the_config_itself_and_each_task_alone():
    made = plan()
    assert [method.task for method in made.methods] == ["digit", "edges", ""]
    *alone, together = made.runs
    assert [list(run.config.tasks) for run in alone] == [["digit"], ["edges"]]
    assert {run.config.weighting.kind for run in alone} == {"equal"}
    assert together.config == resolve(RAW)[0]


def test_every_run_has_the_same_budget_and_its_own_seed():
    made = plan("equal,mgda", "hard,cross_stitch", seeds=3, rates="1e-3,3e-4")
    assert len(made.runs) == 3 * 2 * (2 + 4)
    assert made.seeds == (5, 6, 7) and {run.config.train.seed for run in made.runs} == {5, 6, 7}
    assert len({run.folder for run in made.runs}) == len(made.runs)
    for run in made.runs:
        assert run.config.train.steps == 9 and run.config.data == made.config.data
        assert run.config.optimizer.lr == run.rate
    assert [run.seed for run in made.runs] == sorted(run.seed for run in made.runs)


def test_a_head_s_own_learning_rate_keeps_its_ratio():
    runs = plan(rates="2e-3").runs
    assert runs[-1].config.optimizer.per_task.edges.lr == pytest.approx(2e-2)


def test_parameters_stay_with_their_kind_only():
    equal, cagrad = (run.config for run in plan("equal,cagrad").runs if not run.method.task)
    assert cagrad.weighting.c == 0.3 and "c" not in equal.weighting
    assert equal.model.sharing.adapt == "bias"
    stitched = plan("equal", "cross_stitch").runs[-1].config
    assert "adapt" not in stitched.model.sharing


def test_all_names_every_key_once():
    made = [*plan("equal,all").runs, *plan("equal", "all").runs]
    assert {run.method.weighting for run in made} == set(WEIGHTINGS)
    assert {run.method.sharing for run in made} == set(SHARINGS)
    assert len({run.folder for run in made if not run.method.task}) == len(WEIGHTINGS) + len(SHARINGS) - 1
    assert not [run.problem for run in made if run.problem]


def test_levels():
    def level(name, sharing="hard", changes=()):
        run = plan(name, sharing, changes=changes).runs[-1]
        assert run.config.weighting.level == (run.method.level or "features")
        return run.method.label, run.method.level

    assert level("mgda") == ("mgda", "features")
    assert level("mgda@parameters") == ("mgda@parameters", "parameters")
    assert level("moco") == ("moco", "parameters")
    assert level("modo@parameters") == ("modo", "parameters")
    assert level("mgda", "cross_stitch") == ("mgda@parameters", "parameters")
    assert level("mgda", changes=["--config.weighting.level=parameters"]) == ("mgda@parameters", "parameters")
    assert level("equal", "cross_stitch") == ("equal", "")
    assert labels(plan("mgda,mgda@parameters", "cross_stitch")) == [("mgda@parameters", "cross_stitch")]


def test_low_memory_is_for_those_that_can():
    changes = ["--config.weighting.low_memory=true", "--config.weighting.level=parameters"]
    made = plan("equal,cagrad,graddrop", changes=changes)
    got = {run.method.weighting: run.config.weighting.low_memory for run in made.runs if not run.method.task}
    assert got == {"equal": False, "cagrad": True, "graddrop": False}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mgdaa", None), "unknown --weightings 'mgdaa'; did you mean 'mgda'?"),
        (("mgda@feature", None), "unknown level 'feature' in --weightings 'mgda@feature'; did you mean 'features'?"),
        (("equal@parameters", None), "equal reads losses only and has no level"),
        (("moco@features", None), "moco takes task gradients at the parameters only"),
        (("all@parameters", None), "only a single weighting has a level"),
        ((None, "cross-stitch"), "unknown --sharings 'cross-stitch'; did you mean 'cross_stitch'?"),
        ((None, "hard@features"), "only a single weighting has a level"),
        ((",", None), "--weightings names nothing"),
        ((None, None, 1, "1e-3,fast"), "--learning-rates has 'fast'"),
        ((None, None, 1, "-1"), "--learning-rates has '-1'; expected numbers above 0"),
        ((None, None, 1, None, ["--config.tasks=digit"]), "needs two tasks or more, the config has digit only"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, message):
    with pytest.raises(ConfigError) as error:
        plan(*arguments)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_learning_rates_are_numbers_each_once():
    assert learning_rates("1e-3, 3e-4,0.001") == (1e-3, 3e-4)
    assert learning_rates(None) == ()


def test_a_combination_without_a_config_is_a_run_that_says_why(monkeypatch):
    def needy(tasks, /, *, groups):
        raise AssertionError

    monkeypatch.setitem(SHARINGS, "needy", needy)
    monkeypatch.setattr("mtjax.ablate.plan.has_copies", lambda sharing, tasks: False)
    run = plan("equal", "needy").runs[-1]
    assert run.config is None and "model.sharing.groups is missing" in run.problem


def test_a_folder_of_another_config_is_refused(tmp_path):
    made = plan("equal")
    save(made.runs[-1].config, {}, tmp_path / made.runs[-1].folder)
    check_folder(made.runs, tmp_path)
    with pytest.raises(ConfigError, match=r"holds a run with another config: train\.steps was 9, is 10"):
        check_folder(plan("equal", changes=["--config.train.steps=10"]).runs, tmp_path)


def test_a_name_from_elsewhere_makes_one_folder():
    method = dataclasses.replace(plan().methods[-1], label="mine.module:Name")
    assert Path(method.name).parts == ("mine.module.Name-hard",)
