"""The comparison is fair: one observation for all, tuning on validation alone, every image once; and it is written."""

import csv
import dataclasses
import io
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.metrics
from PIL import Image
from rich.console import Console

from mtjax.compare import compare, methods, write
from mtjax.compare.methods import Case, Compiled, Method, at_edge
from mtjax.compare.run import observe_cases, spaced, unique
from mtjax.compare.table import print_comparison
from mtjax.data import build
from mtjax.physics import Identity, Observed


@pytest.fixture
def result(trained, evaluations):
    return compare(trained, evaluations)


def size(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def set_compare(trained, nodes):
    with trained.config.unlocked():
        trained.config.compare = nodes


def rows(task):
    return {row.scores.name: row for row in task.rows}


def test_each_method_is_scored_on_every_test_image_as_skimage_would(result, trained, sources):
    (task,) = result.tasks
    assert [row.scores.family for row in task.rows] == ["observed", "solver", "learned"]
    assert task.test_images == 11 and task.validation_images == 6 and task.batch_size == 4
    cases = observe_cases(sources["test"], np.arange(11), "blurred", trained.config.observations.blurred, 4)
    y = np.concatenate([np.asarray(case.observed.y)[case.valid] for case in cases])
    clean = np.stack([sources["test"][i]["image"] for i in range(11)]) / 255
    expected = [
        skimage.metrics.peak_signal_noise_ratio(a, np.clip(b, 0, 1).astype(float), data_range=1.0)
        for a, b in zip(clean, y, strict=True)
    ]
    np.testing.assert_allclose(rows(task)["observed"].scores.psnr, expected, atol=1e-3)


def test_an_observation_depends_on_the_image_alone(trained, sources):
    source, spec = build(trained.config.data, "test"), trained.config.observations.blurred
    together = observe_cases(source, np.arange(11), "blurred", spec, 11)[0].observed.y
    apart = observe_cases(source, np.array([7, 3]), "blurred", spec, 1)
    np.testing.assert_allclose(apart[0].observed.y[0], together[7], atol=1e-6)
    np.testing.assert_allclose(apart[1].observed.y[0], together[3], atol=1e-6)


def test_solver_parameters_do_not_depend_on_the_test_split(trained, evaluations):
    few, many = (rows(compare(trained, evaluations, limit=limit).tasks[0])["wiener"].scores for limit in (4, 9))
    assert few.chosen == many.chosen and 1e-5 < few.chosen["noise_to_signal"] < 1


def test_tuning_finds_the_best_value_on_validation(trained, sources):
    source, spec = build(trained.config.data, "validation"), trained.config.observations.blurred
    cases = observe_cases(source, np.arange(6), "blurred", spec, 4)
    program = Compiled(methods.solver({"kind": "wiener", "regularizer": "white"}), cases[0])
    best = program.tune(cases)
    score = {
        factor: program.score(methods.arrays({"noise_to_signal": best["noise_to_signal"] * factor}), cases)[0].mean()
        for factor in (0.3, 1.0, 3.0)
    }
    assert score[1.0] > max(score[0.3], score[3.0])


def test_the_head_is_the_better_filter_and_the_words_say_so(result, trained):
    (task,) = result.tasks
    learned = rows(task)["learned"]
    assert task.reference == "wiener" and rows(task)["wiener"].difference is None
    assert learned.difference.low > 0 and task.better is True and "is better than wiener by" in task.verdict
    assert learned.scores.parameters == {"shared": size(trained.params["encoder"]), "head": 1}
    assert learned.scores.milliseconds > 0


def test_a_smaller_observation_starts_from_bicubic(trained, evaluations):
    set_compare(trained, {"enlarge": []})
    (task,) = compare(trained, evaluations).tasks
    assert [row.scores.name for row in task.rows] == ["bicubic", "learned"]
    assert task.reference == "bicubic" and task.examples[0].observed.shape == (12, 12, 3)
    write(compare(trained, evaluations), evaluations)


def test_examples_are_the_worst_the_median_and_the_best(result):
    (task,) = result.tasks
    gain = rows(task)["learned"].scores.psnr - rows(task)["wiener"].scores.psnr
    order = np.argsort(gain)
    assert [example.index for example in task.examples] == [order[0], order[5], order[10]]
    for example in task.examples:
        error = np.mean((example.images["wiener"] - example.clean) ** 2)
        assert example.psnr["wiener"] == pytest.approx(-10 * np.log10(error), abs=1e-3)


def test_delta_m_counts_only_what_was_trained_alone(result):
    assert result.together.delta_m_task == pytest.approx(5.0)  # psnr +10 %, ssim as it was
    assert result.together.delta_m_flat == pytest.approx(-5.0)
    assert result.together.compared == ("deblur/psnr", "deblur/ssim")
    assert result.together.metrics["enlarge/psnr"] == (30.0, None, True)


def test_without_single_task_runs_there_is_no_delta_m(trained, tmp_path):
    together = compare(trained, tmp_path, limit=1).together
    assert together.delta_m_flat is None and together.metrics == {}


def test_what_is_not_finite_counts_as_black_and_is_told():
    clean = jnp.full((2, 16, 16, 1), 0.5)
    case = Case(Observed(clean, Identity(), jnp.zeros((2, 1, 1, 1))), clean, np.array([True, True]))
    broken = Method("broken", "solver", lambda _, seen: seen.y.at[0, 0, 0, 0].set(jnp.nan))
    psnr, ssim, failed = Compiled(broken, case).score({}, [case])
    assert failed == 1 and psnr[0] == pytest.approx(6.0206, abs=1e-3) and psnr[1] > 90 and np.isfinite(ssim).all()


def test_edges_of_the_range_are_noticed():
    ranges = {"a": (1e-3, 1.0), "b": (1e-3, 1.0), "c": (1e-3, 1.0)}
    assert at_edge({"a": 1e-3, "b": 0.1, "c": 1.0}, ranges) == ("a", "c")


def test_one_program_per_method(trained, evaluations, monkeypatch):
    set_compare(trained, {"deblur": [{"kind": "wiener"}, {"kind": "wiener", "regularizer": "white"}]})
    compiled, original = [], Compiled.__init__

    def counting(self, method, case):
        compiled.append(method.name)
        original(self, method, case)

    monkeypatch.setattr(Compiled, "__init__", counting)
    compare(trained, evaluations, limit=5)
    assert compiled == ["observed", "wiener 1", "wiener 2", "learned"]


def test_a_task_that_gives_no_image_cannot_be_compared(trained, tmp_path):
    tasks = {**trained.tasks, "deblur": dataclasses.replace(trained.tasks["deblur"], restored=None)}
    other = dataclasses.replace(trained, experiment=dataclasses.replace(trained.experiment, tasks=tasks))
    with pytest.raises(ValueError, match=r"compare\.deblur"):
        compare(other, tmp_path)
    with pytest.raises(ValueError, match="limit must be 1 image or more, got 0"):
        compare(trained, tmp_path, limit=0)


def test_spaced_and_unique():
    np.testing.assert_array_equal(spaced(10, 4), [0, 2, 5, 7])
    np.testing.assert_array_equal(spaced(3, None), [0, 1, 2])
    assert len(set(spaced(1000, 48))) == 48
    names = [m.name for m in unique([Method(n, "solver", lambda _, seen: seen.y) for n in ("a", "b", "a")])]
    assert names == ["a 1", "b", "a 2"]


def test_files_say_what_was_measured(result, evaluations):
    paths = write(result, evaluations)
    assert {path.name for path in paths} == {
        "comparison.json", "comparison.csv", "comparison.html", "comparison.png", "comparison_deblur.png"
    }  # fmt: skip
    record = json.loads((evaluations / "comparison.json").read_text())
    row = record["tasks"][0]["rows"][1]
    assert row["scores"]["name"] == "wiener" and len(row["scores"]["psnr"]) == 11
    assert row["psnr"]["mean"] == pytest.approx(np.mean(row["scores"]["psnr"]), abs=1e-3)
    assert record["together"]["delta_m_task"] == pytest.approx(5.0)
    with (evaluations / "comparison.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["method"] for line in lines] == ["observed", "wiener", "learned"]
    assert float(lines[1]["psnr"]) == pytest.approx(row["psnr"]["mean"], abs=1e-4)
    with Image.open(evaluations / "comparison.png") as picture:
        assert picture.width > 500 and picture.height > 700


def test_the_page_needs_nothing_beside_itself(result, evaluations):
    write(result, evaluations)
    html = (evaluations / "comparison.html").read_text()
    assert not re.search(r"https?://|<script|<link|@import|url\(", html)
    assert html.count("data:image/png;base64,") == 1
    assert result.tasks[0].verdict.split(" by ")[1] in html and "delta_m_flat" in html and "noise_to_signal" in html


def test_the_console_table_fits_80_columns(result):
    text = io.StringIO()
    print_comparison(result, Console(file=text, width=80))
    lines = text.getvalue().splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert any("learned" in line and "dB" not in line for line in lines)
    assert not any("…" in line for line in lines), text.getvalue()
