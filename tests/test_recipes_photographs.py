"""The recipes for photographs pass their networks, and the tables of what they reached are made from files."""

import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from shared_data import save

from mtjax import config, data
from mtjax.data import pipeline
from mtjax.train.build import build
from mtjax.train.step import make_eval_step, observe_for_evaluation

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", ["denoise_dncnn", "sr_edsr", "deblur_motion"])
def test_a_recipe_restores_photographs(name, tmp_path):
    for i in range(20):
        save(tmp_path / f"{i}.png", np.random.default_rng(i).integers(0, 256, (90, 90, 3)))
    recipe, _ = config.resolve(config.read(str(ROOT / "configs" / f"{name}.py")), [f"--config.data.path={tmp_path}"])
    source = data.build(recipe.data, "test")
    experiment = build(recipe, source.info, len(source))
    batch = next(pipeline.eval_batches(source, 1))

    def observed():
        return observe_for_evaluation(experiment.observations, jnp.asarray(batch["index"]), data.to_device_batch(batch))

    params = jax.eval_shape(experiment.model.init, jax.random.key(0), jax.eval_shape(observed))
    metrics, _ = jax.eval_shape(make_eval_step(experiment), params, batch)
    assert {f"{task}/psnr" for task in recipe.tasks} <= set(metrics)
    assert set(recipe.compare) == set(recipe.tasks)


@pytest.fixture(scope="module")
def tables():
    """The module docs/results_tables.py."""
    spec = importlib.util.spec_from_file_location("docs_results_tables", ROOT / "docs" / "results_tables.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_table_is_what_its_command_makes(tables):
    for (page, name), text in tables.SECTIONS.items():
        assert f"<!-- {name} -->\n{text()}<!-- end -->" in (ROOT / page).read_text(encoding="utf-8"), (page, name)


def test_a_page_without_a_place_for_a_table_is_named(tables, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- here -->\nold\n<!-- end -->\nafter\n")
    tables.rewrite(page, "here", "new\n")
    assert page.read_text() == "before\n<!-- here -->\nnew\n<!-- end -->\nafter\n"
    with pytest.raises(SystemExit, match="has no lines '<!-- there -->'"):
        tables.rewrite(page, "there", "new\n")
    with pytest.raises(SystemExit, match=r"has no comparison.csv; `mtjax compare --workdir="):
        tables.take("quickstart", tmp_path)
