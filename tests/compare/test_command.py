"""`mtjax compare`, around the measuring: single-task training, what it prints, and damaged evaluations."""

import pytest

from mtjax.compare import command
from mtjax.compare.together import together
from mtjax.config import resolve

RAW = {
    "data": {"source": "digit_scenes", "size": 32},
    "observations": {
        "blurred": {"operator": {"kind": "blur"}, "noise": {"kind": "gaussian"}},
        "masked": {"operator": {"kind": "mask"}, "noise": {"kind": "gaussian"}},
    },
    "tasks": {
        "deblur": {"kind": "reconstruction", "observation": "blurred"},
        "inpaint": {"kind": "reconstruction", "observation": "masked"},
    },
    "weighting": {"kind": "uncertainty"},
    "optimizer": {"per_task": {"inpaint": {"lr": 3e-4}}},
    "compare": {"deblur": [{"kind": "wiener"}]},
}


def record_runs(monkeypatch, code=0):
    """The trainings that are asked for, as (config, folder), none of which is made."""
    asked = []

    def run(config, overrides, workdir):
        asked.append((config, workdir))
        return code

    monkeypatch.setattr("mtjax.train.run", run)
    return asked


def test_each_task_is_trained_alone_with_the_same_recipe(monkeypatch, tmp_path):
    runs = record_runs(monkeypatch)
    config, _ = resolve(RAW)
    assert command.train_alone(config, tmp_path, lambda _: None) == 0
    (first, where), (second, _) = runs
    assert where == tmp_path / "single" / "deblur"
    assert list(first.tasks) == ["deblur"] and list(first.observations) == ["blurred"]
    assert list(second.tasks) == ["inpaint"] and second.optimizer.per_task.inpaint.lr == 3e-4
    assert first.weighting.kind == "equal" and first.train == config.train and first.model == config.model


def test_a_stopped_training_ends_it(monkeypatch, tmp_path):
    runs = record_runs(monkeypatch, code=75)
    config, _ = resolve(RAW)
    assert command.train_alone(config, tmp_path, lambda _: None) == 75
    assert len(runs) == 1


def test_one_task_is_alone_already(monkeypatch, tmp_path):
    runs = record_runs(monkeypatch)
    config, _ = resolve(RAW, ["--config.tasks=deblur"])
    assert command.train_alone(config, tmp_path, lambda _: None) == 0
    assert not runs


def test_the_command_prints_and_writes(trained, evaluations, monkeypatch, capsys):
    monkeypatch.setattr("mtjax.train.restore", lambda workdir: trained)
    assert command.compare_command(evaluations, limit=3) == 0
    out = capsys.readouterr().out
    assert "dB over wiener" in out and "delta_m_task" in out and "comparison.html" in out
    assert (evaluations / "comparison.html").is_file() and not list(evaluations.glob("*.tmp"))


def test_a_damaged_evaluation_is_named(trained, tmp_path):
    (tmp_path / "evaluation.json").write_text('{"test": ')
    with pytest.raises(ValueError, match=r"evaluation\.json is damaged: JSONDecodeError"):
        together(trained.tasks, tmp_path)
