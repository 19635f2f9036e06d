"""What is printed and written: from runs that have ended, some that failed, and none at all."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from finished_runs import World
from PIL import Image
from rich.console import Console

from mtjax.ablate import write
from mtjax.ablate.figure import limit
from mtjax.ablate.table import print_ablation, sentences, sheets, spread, statement, to_csv, to_markdown
from mtjax.compare.statistics import Interval


def test_the_sentences_say_what_was_given_and_what_was_found(world):
    first, second = sentences(world.collect())
    assert "1500 steps of 32 examples from digit_scenes" in first and "the seeds 0, 1, 2" in first
    assert "chosen on the validation split" in first and "cpu with 2 cores, JAX 0.10" in first
    assert second == "By Δm task, better than equal: mgda; 0 of 1 differences from equal are within noise."


def test_the_tables_are_sorted_and_begin_with_the_tasks_alone(world):
    summary, tasks, differences = sheets(world.collect())
    assert [row[0] for row in summary.rows] == ["alone", "mgda", "equal"]
    mgda = dict(zip(summary.headings, summary.rows[1], strict=True))
    assert mgda["Δm task % ↑"] == "+12.50 ± 7.50" and mgda["Δm flat % ↓"] == "-11.67 ± 8.33"
    assert mgda["Δm task over equal"] == "+5.00 [+5.00, +5.00] better"
    assert (mgda["seeds"], mgda["ms/step"], mgda["MiB"], mgda["parameters"]) == ("3 of 3", "18", "1.0", "1,000")
    assert tasks.headings[2:] == ("deblur/psnr ↑", "digit/accuracy ↑") and tasks.rows[1][2] == "2.3 ± 0.1"
    assert differences.rows == [
        ("mgda", "hard", "+0.2000 [+0.2000, +0.2000] better", "+0.0000 [+0.0000, +0.0000] within noise")
    ]


@pytest.mark.parametrize(
    ("interval", "higher", "said"),
    [
        (Interval(0.3, -0.2, 0.8), True, "+0.30 [-0.20, +0.80] within noise"),
        (Interval(0.3, 0.2, 0.4), True, "+0.30 [+0.20, +0.40] better"),
        (Interval(0.3, 0.2, 0.4), False, "+0.30 [+0.20, +0.40] worse"),
        (Interval(-0.3, -0.4, -0.2), False, "-0.30 [-0.40, -0.20] better"),
        (Interval(0.3, -np.inf, np.inf), True, "+0.30, one seed: unknown"),
        (Interval(np.nan, -np.inf, np.inf), True, "–"),
    ],
)
def test_statements(interval, higher, said):
    assert statement(interval, higher) == said


def test_spreads():
    assert spread((1.0, 2.0, 3.0)) == "2 ± 1"
    assert spread((24.5,)) == "24.5"
    assert spread(()) == "–"
    assert spread((-0.001, -0.001), "+", 2) == "+0.00 ± 0.00"


def test_a_failed_row_says_why_everywhere(tmp_path):
    world = World(tmp_path, sharings="hard,cross_stitch", seeds=1)
    for task in world.tasks:
        world.ended(f"alone-{task}", {task: (1.0,)}, seeds=(0,))
    world.ended("equal-hard", {"deblur": (1.0,), "digit": (1.0,)}, seeds=(0,))
    ablation = world.collect({Path("runs/mgda@parameters-cross_stitch-lr0.001/seed-0"): "[it] | broke"})
    row = next(row for row in sheets(ablation)[0].rows if row[:2] == ("mgda@parameters", "cross_stitch"))
    assert row[2:6] == ("0 of 1", "–", "–", "[it] | broke")
    screen = Console(width=200, file=io.StringIO())
    print_ablation(ablation, screen)
    assert "[it] | broke" in screen.file.getvalue() and "not run yet" in screen.file.getvalue()
    assert "[it] \\| broke" in to_markdown(ablation)
    assert "Failed: mgda@parameters-cross_stitch: [it] | broke" in to_markdown(ablation)
    lines = list(csv.DictReader(io.StringIO(to_csv(ablation))))
    assert [line["problem"] for line in lines if line["problem"]] == ["[it] | broke"]


def test_the_csv_has_every_metric_of_every_method(world):
    lines = {(line["weighting"], line["task"]): line for line in csv.DictReader(io.StringIO(to_csv(world.collect())))}
    assert set(lines) == {("equal", "deblur"), ("equal", "digit"), ("equal", ""), ("mgda", "")}
    mgda = lines["mgda", ""]
    assert float(mgda["digit/f1"]) == pytest.approx(4.4) and float(mgda["digit/f1_std"]) == pytest.approx(0.4)
    assert float(mgda["delta_m_task"]) == pytest.approx(12.5) and mgda["seeds"] == "3"
    assert lines["equal", "deblur"]["digit/f1"] == ""


def test_the_files_are_whole_and_say_the_same(world):
    ablation = world.collect()
    files = write(ablation, world.workdir / "out")
    assert [file.name for file in files] == ["ablation.json", "ablation.csv", "ablation.md", "ablation.png"]
    found = json.loads(files[0].read_text())
    assert found["rows"][1]["delta_m_task"] == pytest.approx([5, 12.5, 20])
    assert found["rows"][1]["over_equal"]["delta_m_task"]["low"] == pytest.approx(5)
    assert found["budget"]["steps"] == 1500 and found["config"]["train"]["steps"] == 1500
    assert "| mgda | hard | 3 of 3 | +12.50 ± 7.50 |" in files[2].read_text()
    assert not list((world.workdir / "out").glob("*.tmp"))
    picture = np.asarray(Image.open(files[3]).convert("RGB")).astype(int)
    green = (abs(picture - (10, 122, 75)) < 8).all(-1)
    assert green.sum() > 50  # mgda's point, and the legend's


def test_of_one_seed_nothing_is_said(tmp_path):
    world = World(tmp_path)
    for task in world.tasks:
        world.ended(f"alone-{task}", {task: (1.0, 1.0)}, seeds=(0, 1))
    for name in ("equal-hard", "mgda-hard"):
        world.ended(name, {"deblur": (1.0,), "digit": (2.0,)}, seeds=(0,))
    assert sentences(world.collect())[1] == "With one seed nothing can be said of differences from equal."


def test_one_method_far_astray_does_not_press_the_others_together():
    from matplotlib.figure import Figure

    axis = Figure().subplots()
    axis.plot([2.0, 1.0, 0.0, -1.0, -140.0], range(5))
    limit(axis, [2.0, 1.0, 0.0, -1.0, -140.0])
    assert -3 < axis.get_xlim()[0] < -1 and 2 < axis.get_xlim()[1] < 3
    assert [text.get_text() for text in axis.texts] == ["◂ -140 %"]


def test_nothing_at_all_can_be_written(tmp_path):
    ablation = World(tmp_path).collect()
    assert "No method can be compared with equal" in sentences(ablation)[1]
    assert all(file.stat().st_size for file in write(ablation, tmp_path))
