import dataclasses
import io
import json
import sys

import jax
import numpy as np
import pytest
import tiny
from rich.console import Console
from scipy import ndimage

from mtjax.compare.command import write
from mtjax.compare.counterparts import Shown, canny, jpeg, spectral_residual, tv_l1
from mtjax.compare.labels import compare_labels, paired_pairs
from mtjax.compare.results import Comparison, Together
from mtjax.compare.run import environment
from mtjax.compare.table import label_notes, print_comparison
from mtjax.data import Source
from mtjax.record import locked
from mtjax.registry import ConfigError
from mtjax.schema import Completion, is_counterpart
from mtjax.train.evaluation import Trained


class Squares(Source):
    """The pictures of `tiny.batch`, each by itself; every third lacks its boundary."""

    info = tiny.INFO

    def __init__(self, seed):
        self.batch = tiny.batch(9, seed)

    def __len__(self):
        return 9

    def __getitem__(self, index):
        example = {field: self.batch[field][index] for field in tiny.INFO.fields}
        return {k: v for k, v in example.items() if k != "boundary" or index % 3}


@pytest.fixture(scope="module")
def trained():
    parts = tiny.experiment(("edges",))
    clear = {"masked": {"operator": {"kind": "identity"}, "noise": {"kind": "none"}}}
    parts = dataclasses.replace(parts, observations=clear)
    params = jax.jit(lambda: tiny.initial(parts))().params
    config = locked({"data": {"source": "tiny", "eval_batch_size": 4}})
    return Trained(config, parts, params, tiny.INFO, 1)


def everything():
    return (np.arange(9), np.arange(9)), (Squares(0), Squares(1))


def test_edges_are_compared_on_the_examples_that_have_them(trained):
    found = compare_labels(
        trained, "edges", [{"kind": "canny", "sigmas": (0.5, 30.0), "thresholds": (0.1,)}], *everything()
    )
    assert (found.test_images, found.validation_images, found.reference) == (6, 6, "canny")
    rows = {row.name: row for row in found.rows}
    assert rows["canny"].chosen == {"sigma": 0.5, "threshold": 0.1}  # a blur of 30 pixels leaves no edge in 16
    assert rows["canny"].values["f"] > 0.5  # a square: the truth marks its left and right side only
    assert found.learned_is_better is False and "worse than canny in f" in found.verdict
    gap = rows["learned"].values["f"] - rows["canny"].values["f"]
    assert found.difference.mean == pytest.approx(gap, abs=1e-6)


def test_the_table_the_page_and_the_file_say_it(trained, tmp_path):
    found = compare_labels(trained, "edges", [{"kind": "canny", "sigmas": (0.5,), "thresholds": (0.1,)}], *everything())
    comparison = Comparison((), Together({}, None, None, ()), environment(), {}, 1, 0, (found,))
    console = Console(file=io.StringIO(), width=100)
    print_comparison(comparison, console)
    files = {path.name: path.read_text() for path in write(comparison, tmp_path)}
    for said in (console.file.getvalue(), files["comparison.html"]):
        assert "canny" in said and "worse than canny in f" in " ".join(said.split())
    assert json.loads(files["comparison.json"])["labels"][0]["reference"] == "canny"


def test_a_counterpart_of_another_kind_of_task_is_refused(trained):
    with pytest.raises(ConfigError, match=r"compare.edges: tv_l1 does flow, not boundary"):
        compare_labels(trained, "edges", [{"kind": "tv_l1"}], *everything())


MINE = """
import numpy as np
from mtjax import solvers
from mtjax.compare.counterparts import SURE, Counterpart


def slopes(*, thresholds: tuple[float, ...] = (0.05, 10.0)) -> Counterpart:
    def run(shown, threshold):
        across = np.abs(np.gradient(shown.y.mean(-1), axis=1))
        return np.where(across > threshold, SURE, -SURE)[..., None].astype(np.float32)

    choices = tuple({"threshold": t} for t in thresholds)
    return Counterpart(("boundary",), run, choices, note=lambda said: f"{len(said)} seen")


def number(*, value: int = 3):
    return value


solver = solvers.SolverInfo(lambda y, operator, /, *, weight=1.0: y, {"weight": (0.1, 1.0)}, "none", "none")
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A module of a user's own."""
    (tmp_path / "my_edges.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("my_edges", None)


@pytest.mark.usefixtures("mine")
def test_a_counterpart_of_ones_own_is_named_by_where_it_is(trained):
    (node,) = Completion().solvers([{"kind": "my_edges:slopes"}], "compare.edges")
    assert node == {"kind": "my_edges:slopes", "thresholds": (0.05, 10.0)}
    found = compare_labels(trained, "edges", [node], *everything())
    assert found.reference == "slopes" and found.rows[0].name == "slopes"
    assert found.rows[0].chosen == {"threshold": 0.05} and found.rows[0].values["recall"] > 0.5
    assert label_notes(found)[-1] == "slopes: 6 seen"


@pytest.mark.usefixtures("mine")
def test_what_is_no_counterpart_is_refused(trained):
    completion = Completion()
    with pytest.raises(ConfigError, match=r"compare\.edges\[0\].*thresholds"):
        completion.solvers([{"kind": "my_edges:slopes", "threshold": 1.0}], "compare.edges")
    with pytest.raises(ConfigError, match=r"my_edges has no 'slope'; did you mean 'slopes'\?"):
        completion.solvers([{"kind": "my_edges:slope"}], "compare.edges")
    (node,) = completion.solvers([{"kind": "my_edges:number"}], "compare.edges")
    with pytest.raises(ConfigError, match=r"compare\.edges: my_edges:number gave int; expected a function"):
        compare_labels(trained, "edges", [node], *everything())
    (node,) = completion.solvers([{"kind": "my_edges:solver"}], "compare.edges")
    assert not is_counterpart(node) and "weight" not in node  # a solver, whose weight is to be searched for


def test_not_to_look_at_all_is_a_counterpart_too(trained):
    found = compare_labels(trained, "edges", [{"kind": "constant", "values": (-1.0, 1.0)}], *everything())
    rows = {row.name: row.values for row in found.rows}
    assert rows["constant"]["recall"] == 1  # edges everywhere are better than nowhere
    assert found.rows[0].chosen == {"value": 1.0}


def test_the_interval_of_a_difference_is_about_the_same_examples():
    rng = np.random.default_rng(0)
    hard = 10 * rng.random(200)
    ones = np.ones(200)
    better = paired_pairs((hard + 0.1, ones), (hard, ones))
    assert (better.low, better.mean, better.high) == pytest.approx((0.1, 0.1, 0.1), rel=1e-4)
    classes = rng.integers(0, 2, (200, 3)).astype(float)
    expected = (0.5 * classes).sum(0) / classes.sum(0)
    assert paired_pairs((0.5 * classes, classes), (0 * classes, classes)).mean == pytest.approx(expected.mean())
    apart = paired_pairs((rng.permutation(hard), ones), (hard, ones))
    assert apart.low < 0 < apart.high


def test_motion_of_a_texture_is_found():
    texture = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(48, 48, 1)), (2, 2, 0), mode="wrap")
    texture = (texture - texture.min()) / np.ptp(texture)
    shown = Shown(np.roll(texture, (1, -2), (0, 1)), {"previous": texture}, None)
    method = tv_l1()
    flow = method.run(shown, **method.choices[1])
    np.testing.assert_allclose(np.median(flow[8:-8, 8:-8], (0, 1)), (1, -2), atol=0.2)


def test_what_stands_out_of_a_texture_is_salient():
    image = 0.4 + 0.2 * np.random.default_rng(0).random((32, 32))
    image[20:24, 8:12] = 1.0
    found = spectral_residual().run(Shown(image[..., None], {}, None), sigma=2.0)[..., 0]
    peak = np.unravel_index(found.argmax(), found.shape)
    assert 18 <= peak[0] <= 25 and 6 <= peak[1] <= 13


def test_a_picture_of_nothing_has_no_edges_and_no_motion():
    flat = np.full((16, 16, 3), 0.5)
    assert (canny().run(Shown(flat, {}, None), sigma=1.0, threshold=0.1) < 0).all()
    assert np.isfinite(spectral_residual().run(Shown(flat, {}, None), sigma=1.0)).all()
    assert not tv_l1().run(Shown(flat, {"previous": flat}, None), attachment=15).any()


def test_jpeg_says_what_is_counted():
    image = np.zeros((2, 10, 10, 3))
    said = {"image": image, "bits": np.asarray([35.0, 45.0]), "file_bits": np.asarray([4000.0, 6000.0])}
    note = jpeg().note
    assert note is not None and note(said).startswith("0.4 bits per pixel are those of the scan")
    assert note(said).endswith("whole files, with the tables, have 50")


def test_jpeg_spends_what_the_head_spent():
    image = ndimage.gaussian_filter(np.random.default_rng(0).random((64, 64, 3)), (3, 3, 0))
    image = (image - image.min()) / np.ptp(image)
    few, many = (jpeg().run(Shown(image, {}, {"image": image, "bits": 64 * 64 * rate})) for rate in (1.5, 4.0))
    assert few["bits"] < many["bits"]
    for said in (few, many):
        assert said["file_bits"] == said["bits"] + 8 * (623 + 2 - 1)  # the quality's byte stands in the tables there
    assert np.square(few["image"] - image).mean() > np.square(many["image"] - image).mean()
