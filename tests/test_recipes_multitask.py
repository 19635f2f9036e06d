"""The multi-task recipes pass their networks and have the published tables' tasks; their page is made from files."""

import json
import pathlib

import ablation
import numpy as np
import pytest
from shared_data import save
from traced_recipe import resolved, traced

from mtjax.ablate.results import to_json
from mtjax.compare.protocols import TABLES

ROOT = pathlib.Path(__file__).resolve().parents[1]


def write_camvid(folder):
    for part in ("train", "val"):
        for i in range(3):
            save(folder / part / f"a_{i}.png", np.full((12, 16, 3), i))
            save(folder / f"{part}annot" / f"a_{i}.png", np.full((12, 16), i))


def write_nyuv2(folder):
    shape = (5, 12, 16)
    arrays: dict[str, Any] = {
        "image": np.zeros((*shape, 3), np.uint8), "normal_i8": np.zeros((*shape, 3), np.int8), "index": np.arange(5),
        "depth_u8": np.full(shape, 51, np.uint8), "label13": np.full(shape, 3, np.uint8),
        "label40": np.full(shape, 4, np.uint8),
    }  # fmt: skip
    folder.mkdir()
    np.savez(folder / "nyuv2_dev.npz", **arrays)


def write_multi_mnist(folder):
    folder.mkdir()
    digits = np.random.default_rng(0).integers(0, 256, (120, 28, 28), np.uint8)
    np.savez(folder / "mnist_train.npz", x=digits, y=(np.arange(120) % 10).astype(np.uint8))


@pytest.mark.parametrize("write", [write_camvid, write_nyuv2, write_multi_mnist], ids=lambda write: write.__name__[6:])
def test_a_recipe_has_the_tasks_of_its_published_table(write, tmp_path):
    name, folder = write.__name__.removeprefix("write_"), tmp_path / "set"
    write(folder)
    places = [f"--config.data.path={folder}"]
    places += [] if name == "multi_mnist" else [f"--config.data.data_dir={tmp_path}"]
    recipe = resolved(ROOT / "configs" / f"{name}.py", places)
    traced(recipe)
    there = {task.kind for task in recipe.tasks.values()} | set(recipe.tasks)
    assert {metric.task for metric in TABLES[name].metrics} <= there


def test_the_page_of_ablations_is_what_its_command_makes():
    assert (ROOT / "docs" / "ablation.md").read_text(encoding="utf-8") == ablation.page()


def test_kept_ablations_are_small_and_read_back_whole():
    for name in ablation.SECTIONS:
        file = ablation.kept_file(name)
        assert file.stat().st_size < 60_000
        again = to_json(ablation.load(name))
        del again["summary"]
        assert again == json.loads(file.read_text(encoding="utf-8"))
