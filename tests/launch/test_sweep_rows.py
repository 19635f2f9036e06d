"""Which rows a sweep has, and what each is called."""

import pathlib
import shlex

import numpy as np
import pytest
import sweep
from sweep_rows import Spec, folder_name, make_rows, split

from mtjax.config import ConfigError

RECIPE = pathlib.Path(__file__).resolve().parents[1] / "ablate" / "small_recipe.py"


def rows(grid=(), zipped=(), drawn=(), **more):
    return Spec(dict(grid), dict(zipped), dict(drawn), **more).rows()


def test_a_grid_has_every_combination():
    found = rows({"a": "1,2", "b.c": "x, y ,z"})
    assert [(row["a"], row["b.c"]) for row in found] == [(a, b) for a in "12" for b in "xyz"]


def test_lists_that_go_together_are_one_axis_of_the_grid():
    found = rows({"s": "0,1"}, {"a": "1,2", "b": "x,y"})
    assert [(row["s"], row["a"], row["b"]) for row in found] == [
        ("0", "1", "x"), ("0", "2", "y"), ("1", "1", "x"), ("1", "2", "y"),
    ]  # fmt: skip


def test_commas_inside_brackets_and_quotes_separate_nothing():
    assert split("(1, 2),[3,4],'5,6',\"7,8\",9", "k") == ["(1, 2)", "[3,4]", "'5,6'", '"7,8"', "9"]


def test_samples_are_a_function_of_seed_and_number():
    drawn = {"lr": "log:1e-5:1e-1", "width": "4:8", "decay": "-0.5:0.5", "kind": "a,b"}
    few, many, other = (rows(drawn=drawn, samples=n, seed=seed) for n, seed in ((3, 0), (400, 0), (3, 1)))
    assert many[:3] == few != other
    rate = np.log10([float(row["lr"]) for row in many])
    assert rate.min() >= -5 and rate.max() <= -1
    assert np.isclose(rate.mean(), -3, atol=0.3) and np.isclose((rate < -3).mean(), 0.5, atol=0.1), "not even"
    assert {row["width"] for row in many} == set("45678") and {row["kind"] for row in many} == {"a", "b"}
    assert all(-0.5 <= float(row["decay"]) <= 0.5 for row in many)


def test_each_sample_meets_the_whole_grid():
    found = rows({"seed": "0,1"}, drawn={"lr": "0.1:0.9"}, samples=2)
    assert [row["seed"] for row in found] == ["0", "1", "0", "1"]
    assert found[0]["lr"] == found[1]["lr"] != found[2]["lr"]


def test_different_rows_have_different_folders():
    values = ["1e-3", "(1, 2)", "(1,_2)", "a/b", "a_b", "../x", "x" * 300, "x" * 301]
    names = [folder_name({"model.encoder.kind": value}) for value in values]
    assert len(set(names)) == len(values)
    assert all("/" not in name and len(name) < 200 for name in names)
    assert names[0] == "model.encoder.kind=1e-3"


def test_a_row_has_its_own_values_last(tmp_path):
    (row,) = make_rows(Spec({"a.b": "(1, 2)"}, {}, {}), ["train"], tmp_path, ["--config.a.b=0"], ["--debug"])
    assert row.command == ("train", f"--workdir={row.folder}", "--config.a.b=0", "--config.a.b=(1, 2)", "--debug")
    assert row.state == "waiting"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "nothing is swept"),
        ("--sweep.train.seed=0,,1", "empty value"),
        ("--sweep.train.seed=0,0", "a value twice"),
        ("--sweep.train.seed=0 --zip.train.seed=1", "swept twice"),
        ("--zip.train.seed=0,1 --zip.optimizer.lr=1,2,3", "train.seed has 2, optimizer.lr has 3"),
        ("--random.optimizer.lr=2:1", "expected LOW:HIGH"),
        ("--random.optimizer.lr=log:0:1", "with 0 < LOW"),
        ("--random.optimizer.lr=1:x", "expected LOW:HIGH"),
        ("--sweep.train.sed=0,1", "did you mean 'seed'?"),
        ("--sweep.train.seed=0,x", "train.seed must be an integer, got 'x'"),
        ("--sweep.train.seed=0,1 --row=2", "--row=2: expected 0 to 1"),
        ("--sweep.train.seed=0,1 --row=x", "--row"),
        ("--sweep.train.seed=0,1 --parallel=0", "--parallel must be at least 1, got 0"),
        ("--sweep.train.seed=0,1 --pralel=2", "unknown flag --pralel=2"),
        ("--sweep.train.seed=0,1 --config.train.stesp=3", "did you mean 'steps'?"),
    ],
)
def test_a_wrong_command_is_one_line_and_code_2_before_anything_runs(capsys, tmp_path, words, said):
    code = sweep.main([f"--config={RECIPE}", f"--workdir={tmp_path / 'w'}", *words.split()])
    out, err = capsys.readouterr()
    assert code == 2 and not out
    assert said in err and err.count("\n") == 1 and err.startswith("sweep: error: ")
    assert not (tmp_path / "w").exists()


def test_a_dry_run_prints_the_exact_commands_and_leaves_nothing(capsys, tmp_path):
    words = [f"--config={RECIPE}", f"--workdir={tmp_path / 'w'}", "--sweep.train.seed=0,1", "--config.train.steps=3"]
    assert sweep.main([*words, "--dry-run", "--", "--debug"]) == 0
    lines = capsys.readouterr().out.splitlines()
    _, planned = sweep.parse([*words, "--", "--debug"])
    assert "--array=0-1" in lines[0]
    assert [shlex.split(line) for line in lines if not line.startswith("#")] == [list(row.command) for row in planned]
    assert planned[1].command[-3:] == ("--config.train.steps=3", "--config.train.seed=1", "--debug")
    assert not (tmp_path / "w").exists()


def test_gpus_are_dealt_out():
    environ = {"CUDA_VISIBLE_DEVICES": "4,5,6,7", "HOME": "/"}
    shares = [sweep.share(environ, slot, 2) for slot in range(2)]
    assert [own["CUDA_VISIBLE_DEVICES"] for own in shares] == ["4,5", "6,7"] and shares[0]["HOME"] == "/"
    assert sweep.share({"HOME": "/"}, 1, 2) == {"HOME": "/"}
    with pytest.raises(ConfigError, match="evenly"):
        sweep.share(environ, 0, 3)
