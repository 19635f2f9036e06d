"""Runs on a folder in which a picture cannot be decoded: it is named, and either ends the run or is passed over."""

import json

import numpy as np
import pytest
from PIL import Image
from small_run import RECIPE, undisturbed

from mtjax import cli
from mtjax.data import build


@pytest.fixture
def pictures(tmp_path):
    """Sixteen pictures, of which one is cut in the middle; and its number in the training split."""
    place, rng = tmp_path / "pictures", np.random.default_rng(0)
    place.mkdir()
    for i in range(16):
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), np.uint8)).save(place / f"{i:02d}.png")
    number = 5
    bad = build({"source": "folder", "path": str(place), "size": 16}, "train").files[number]
    bad.write_bytes(bad.read_bytes()[:600])
    return place, bad, number


def train(workdir, place, on_error):
    data = ("source=folder", f"path={place}", "validation=0.1", "test=0.1", f"on_error={on_error}")
    flags = ("--config.tasks=deblur", "--config.train.steps=8", *(f"--config.data.{value}" for value in data))
    return cli.main(["train", f"--config={RECIPE}", f"--workdir={workdir}", *flags])


def test_it_ends_the_run_in_one_line(pictures, folder, tmp_path, monkeypatch, capsys):
    undisturbed(monkeypatch, folder)
    place, bad, number = pictures
    assert train(tmp_path / "run", place, "raise") == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith(f"mtjax: error: folder train: cannot read example {number}, {bad}: ")


def test_or_is_told_of_once_and_passed_over(pictures, folder, tmp_path, monkeypatch, caplog):
    undisturbed(monkeypatch, folder)
    place, bad, number = pictures
    assert train(tmp_path / "run", place, "skip") == 0
    told = [record.getMessage() for record in caplog.records if "skipped" in record.getMessage()]
    assert len(told) == 1 and f"cannot read example {number}, {bad}" in told[0]  # in three epochs
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert all(line["deblur/valid"] == 4 and line["skipped"] == 0 for line in lines if line["split"] == "train")
