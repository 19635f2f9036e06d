"""The multi-task recipes pass their networks and have the published tables' tasks; their page is made from files."""

import importlib.util
import json
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from shared_data import save

from mtjax import config, data
from mtjax.ablate.results import to_json
from mtjax.compare.protocols import TABLES
from mtjax.data import pipeline
from mtjax.train.build import build
from mtjax.train.step import make_eval_step, observe_for_evaluation

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
    recipe, _ = config.resolve(config.read(str(ROOT / "configs" / f"{name}.py")), places)
    source = data.build(recipe.data, "test")
    experiment = build(recipe, source.info, len(source))
    batch = next(pipeline.eval_batches(source, 2))

    def observed():
        index, images = jnp.asarray(batch["index"]), data.to_device_batch(batch)
        return observe_for_evaluation(experiment.observations, index, images)

    params = jax.eval_shape(experiment.model.init, jax.random.key(0), jax.eval_shape(observed))
    metrics, _ = jax.eval_shape(make_eval_step(experiment), params, batch)
    assert {metric.partition("/")[0] for metric in metrics} == set(recipe.tasks)
    there = {task.kind for task in recipe.tasks.values()} | set(recipe.tasks)
    assert {metric.task for metric in TABLES[name].metrics} <= there


@pytest.fixture(scope="module")
def docs():
    """The module docs/ablation.py."""
    spec = importlib.util.spec_from_file_location("docs_ablation", ROOT / "docs" / "ablation.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_ablations_is_what_its_command_makes(docs):
    assert (ROOT / "docs" / "ablation.md").read_text(encoding="utf-8") == docs.page()


def test_kept_ablations_are_small_and_read_back_whole(docs):
    for name in docs.SECTIONS:
        file = docs.kept_file(name)
        assert file.stat().st_size < 60_000
        again = to_json(docs.load(name))
        del again["summary"]
        assert again == json.loads(file.read_text(encoding="utf-8"))
