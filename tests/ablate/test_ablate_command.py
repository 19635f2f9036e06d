"""`mtjax ablate` itself: tiny runs, made once, and a combination that cannot be."""

import json
from pathlib import Path

import pytest

from mtjax import cli, train

RECIPE = Path(__file__).parent / "small_recipe.py"


@pytest.fixture
def ablate(tmp_path, monkeypatch):
    """Calls the command on the small recipe; lists the folders of the trainings that were made."""
    monkeypatch.setattr(cli, "prepare", lambda debug: None)
    monkeypatch.syspath_prepend(RECIPE.parent)
    made, run = [], train.run

    def recorded(config, overrides, workdir):
        made.append(str(Path(workdir).relative_to(tmp_path / "runs")))
        return run(config, overrides, workdir)

    monkeypatch.setattr(train, "run", recorded)

    def call(*flags):
        made.clear()
        code = cli.main(["ablate", f"--config={RECIPE}", f"--workdir={tmp_path}", *flags])
        return code, list(made)

    return call


@pytest.mark.slow
def test_from_nothing_to_the_table_and_again(ablate, tmp_path, capsys):
    flags = ("--weightings=equal,mgda@features", "--sharings=cross_stitch", "--seeds=1")
    code, made = ablate(*flags)
    out = capsys.readouterr().out
    assert code == 0, out
    names = ["alone-color", "alone-shade", "equal-cross_stitch", "mgda-cross_stitch"]
    assert made == [f"{name}-lr0.001/seed-0" for name in names]
    assert "run 4 of 4" in out and "each task has features of its own" in out
    found = json.loads((tmp_path / "ablation.json").read_text())
    equal, mgda = found["rows"]
    alone = json.loads((tmp_path / "runs" / "alone-color-lr0.001" / "seed-0" / "evaluation.json").read_text())
    assert found["alone"]["color"]["values"]["color/accuracy"] == [alone["test"]["color/accuracy"]]
    assert equal["cost"]["seconds"] > 0 and equal["cost"]["parameters"] > found["alone"]["color"]["cost"]["parameters"]
    assert mgda["values"] == {} and mgda["problem"].startswith("weighting.level='features'")

    before = {file: file.stat().st_mtime_ns for file in tmp_path.glob("runs/*/*/*.json")}
    code, made = ablate(*flags)
    assert code == 0 and made == ["mgda-cross_stitch-lr0.001/seed-0"]  # only what failed is tried again
    assert {file: file.stat().st_mtime_ns for file in before if "mgda" not in str(file)} == {
        file: time for file, time in before.items() if "mgda" not in str(file)
    }
    assert json.loads((tmp_path / "ablation.json").read_text())["rows"] == found["rows"]


def test_a_stop_passes_through_and_leaves_the_table(ablate, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(train, "run", lambda config, overrides, workdir: 75)
    code, _ = ablate("--seeds=1")
    out = capsys.readouterr().out
    assert code == 75 and "stopped and saved" in out and "not run yet" in out
    assert (tmp_path / "ablation.md").is_file()


def test_wrong_flags_are_one_line(ablate, capsys):
    for flag, message in {
        "--weightings=mgad": "unknown --weightings 'mgad'; did you mean 'mgda'?",
        "--seeds=0": "--seeds=0",
        "--learning-rates=quick": "--learning-rates has 'quick'",
        "--config.tasks=color": "needs two tasks or more",
    }.items():
        code, made = ablate(flag)
        err = capsys.readouterr().err
        assert code == 2 and not made
        assert message in err and err.count("\n") == 1
