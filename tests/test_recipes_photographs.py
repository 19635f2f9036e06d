"""The recipes for photographs pass their networks, and the tables of what they reached are made from files."""

import pathlib

import numpy as np
import pytest
import results_tables
from shared_data import save
from traced_recipe import resolved, traced

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", ["denoise_dncnn", "sr_edsr", "deblur_motion"])
def test_a_recipe_restores_photographs(name, tmp_path):
    for i in range(20):
        save(tmp_path / f"{i}.png", np.random.default_rng(i).integers(0, 256, (90, 90, 3)))
    recipe = resolved(ROOT / "configs" / f"{name}.py", [f"--config.data.path={tmp_path}"])
    _, _, metrics = traced(recipe, batch_size=1)
    assert {f"{task}/psnr" for task in recipe.tasks} <= metrics
    assert set(recipe.compare) == set(recipe.tasks)


def test_every_table_is_what_its_command_makes():
    for (page, name), text in results_tables.SECTIONS.items():
        assert f"<!-- {name} -->\n{text()}<!-- end -->" in (ROOT / page).read_text(encoding="utf-8"), (page, name)


def test_a_page_without_a_place_for_a_table_is_named(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- here -->\nold\n<!-- end -->\nafter\n")
    results_tables.rewrite(page, "here", "new\n")
    assert page.read_text() == "before\n<!-- here -->\nnew\n<!-- end -->\nafter\n"
    with pytest.raises(SystemExit, match="has no lines '<!-- there -->'"):
        results_tables.rewrite(page, "there", "new\n")
    with pytest.raises(SystemExit, match=r"has no comparison.csv; `mtjax compare --workdir="):
        results_tables.take(tmp_path)
