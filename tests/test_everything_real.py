"""The recipe on several real data sets: each task is trained and judged by the examples of its own set alone."""

import pathlib

import numpy as np
import pytest
from shared_data import save
from test_recipes_multitask import write_camvid, write_multi_mnist, write_nyuv2
from traced_recipe import resolved, traced

from mtjax import data
from mtjax.data import pipeline
from mtjax.train.build import build

RECIPE = pathlib.Path(__file__).resolve().parents[1] / "configs" / "everything_real.py"
RESTORING = {"denoise", "deblur", "enlarge", "inpaint"}
PARTS = ("street", "room", "photos", "digits")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    for name, write in (("street", write_camvid), ("room", write_nyuv2), ("digits", write_multi_mnist)):
        write(root / name)
    for i in range(10):
        save(root / "photos" / f"{i}.png", np.full((80, 80), i))
    places = [f"--config.data.parts.{name}.path={root / name}" for name in PARTS]
    prepared = [f"--config.data.parts.{name}.data_dir={root / 'prepared'}" for name in ("street", "room")]
    return resolved(RECIPE, [*places, *prepared])


def test_every_example_teaches_the_tasks_of_its_set_and_restoration(recipe):
    source = data.build(recipe.data, "train")
    experiment = build(recipe, source.info, len(source))
    batch = data.to_device_batch(pipeline.batch_at(source, 12, 0, 0))
    taught = {name: np.flatnonzero(task.valid(batch)) for name, task in experiment.tasks.items()}
    counts = {"street": 3, "room": 3, "depth": 3, "normals": 3, "edges": 6, "left": 4, "right": 4}
    assert {name: len(rows) for name, rows in taught.items()} == {**counts, **dict.fromkeys(RESTORING, 12)}
    assert not set(taught["street"]) & set(taught["room"]) and set(taught["depth"]) == set(taught["room"])
    assert set(taught["edges"]) == set(taught["street"]) | set(taught["room"])
    outputs = {name: experiment.tasks[name].outputs for name in ("street", "room", "left")}
    assert outputs == {"street": 11, "room": 13, "left": 10}


def test_the_network_passes(recipe):
    traced(recipe)
