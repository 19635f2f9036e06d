"""Boxes against NumPy and pycocotools, average precision by hand, instances by brute force."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mtjax import metrics
from mtjax.tasks import coco

RNG = np.random.default_rng(0)


def random_boxes(*shape: int) -> jax.Array:
    corners = np.sort(RNG.random((*shape, 2, 2)), axis=-2)
    return jnp.asarray(corners.reshape(*shape, 4), jnp.float32)


def xywh(boxes: jax.Array) -> np.ndarray:
    top, left, bottom, right = np.moveaxis(np.asarray(boxes, np.float64), -1, 0)
    return np.stack([left, top, right - left, bottom - top], -1)


iou, giou = jax.jit(metrics.box_iou), jax.jit(metrics.box_giou)


def test_iou_agrees_with_pycocotools_and_does_not_depend_on_the_scale():
    a, b = random_boxes(6), random_boxes(5)
    expected = coco_mask.iou(xywh(a), xywh(b), [0] * 5)
    stretch = np.array([30, 70, 30, 70], np.float32)
    for scale in (1, stretch):
        stretched = (jnp.asarray(np.asarray(x) * scale) for x in (a[:, None], b[None]))
        np.testing.assert_allclose(iou(*stretched), expected, atol=1e-5)


def test_giou_by_hand():
    unit = jnp.array([0.0, 0.0, 1.0, 1.0])
    assert float(giou(unit, unit)) == 1
    apart = unit + jnp.array([0.0, 2.0, 0.0, 2.0])  # hull 3, union 2
    assert float(giou(unit, apart)) == pytest.approx(-1 / 3)
    half = unit + jnp.array([0.5, 0.0, 0.5, 0.0])  # common 0.5, union 1.5 = hull
    assert float(giou(unit, half)) == pytest.approx(1 / 3)


def test_giou_agrees_with_numpy_and_always_has_a_slope():
    both = a, b = random_boxes(20), random_boxes(20)
    a, b = (np.asarray(x) for x in both)
    inside = np.clip(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0, None).prod(-1)
    union = (a[:, 2:] - a[:, :2]).prod(-1) + (b[:, 2:] - b[:, :2]).prod(-1) - inside
    hull = (np.maximum(a[:, 2:], b[:, 2:]) - np.minimum(a[:, :2], b[:, :2])).prod(-1)
    np.testing.assert_allclose(giou(*both), inside / union - (hull - union) / hull, atol=1e-5)
    slope = jax.jit(jax.grad(lambda a, b: metrics.box_giou(a, b).sum()))
    assert float(jnp.abs(slope(jnp.array([0.0, 0.0, 1.0, 1.0]), jnp.array([0.0, 5.0, 1.0, 6.0]))).max()) > 0.01
    for degenerate in (np.zeros((1, 4)), a[:1] * 0 + a[0, 0]):
        for other in (np.zeros((1, 4)), degenerate, b[:1]):
            assert jnp.isfinite(slope(*(jnp.asarray(x, jnp.float32) for x in (degenerate, other)))).all()


suppress = jax.jit(functools.partial(metrics.suppress, overlap=0.4))


def greedy(boxes: jax.Array, labels: jax.Array, scores: jax.Array, overlap: float) -> np.ndarray:
    iou = coco_mask.iou(xywh(boxes), xywh(boxes), [0] * len(boxes))
    stays, own, order = np.zeros(len(boxes), bool), np.asarray(labels), np.argsort(-np.asarray(scores), kind="stable")
    for i in order:
        stays[i] = not np.any(stays & (own == own[i]) & (iou[i] > overlap))
    return stays


def test_suppression_is_the_greedy_one():
    for trial in range(20):
        boxes = jnp.clip(random_boxes(1) + 0.15 * RNG.normal(size=(40, 4)), 0, 1)
        boxes = boxes.at[:, 2:].max(boxes[:, :2] + 0.05)
        labels = jnp.asarray(RNG.integers(0, 2, 40))
        scores = jnp.asarray(np.round(RNG.random(40), 1 if trial % 2 else 6), jnp.float32)  # with equal ones
        stays = suppress(boxes, labels, scores)
        np.testing.assert_array_equal(stays, greedy(boxes, labels, scores, 0.4))
        assert 2 < stays.sum() < 40


def test_suppression_down_a_chain():
    """Each box covers the next alone, so every second one stays: what is taken away takes nothing away itself."""
    left = 0.4 * np.arange(40, dtype=np.float32)
    boxes = jnp.asarray(np.stack([0 * left, left, 0 * left + 1, left + 1], -1))
    stays = suppress(boxes, jnp.asarray(RNG.integers(0, 1, 40)), jnp.asarray(np.linspace(1, 0.1, 40, dtype=np.float32)))
    np.testing.assert_array_equal(stays, np.arange(40) % 2 == 0)


def test_recall_asks_for_the_class_and_the_place():
    boxes = random_boxes(1, 3)
    labels = jnp.array([[0, 1, -1]])
    recall = jax.jit(metrics.detection_recall)
    pair = recall(boxes[:, :2], jnp.array([[0, 0]]), boxes, labels)
    assert [float(x[0]) for x in pair] == [1, 2]
    nothing = recall(boxes[:, :2], jnp.array([[-1, -1]]), boxes, jnp.full((1, 3), -1))
    assert [float(x[0]) for x in nothing] == [0, 0]


def split(found, found_labels, scores, true, true_labels):
    found, true = (np.asarray(x, np.float32) for x in (found, true))
    examples = {"boxes": found, "true_boxes": true, "scores": np.asarray(scores, np.float32)}
    return {**examples, "labels": np.asarray(found_labels), "true_labels": np.asarray(true_labels)}


BOX, OTHER = [0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]


def test_average_precision_by_hand(capsys):
    both = [BOX, OTHER]
    right = split([both], [[0, 1]], [[0.9, 0.8]], [both], [[0, 1]])
    assert coco.box_ap(right, 3, (32, 48)) == pytest.approx({"ap": 1, "ap50": 1, "ap75": 1})
    # IoU 0.8: right at 0.5, ... 0.8, which are 7 of 10, and wrong above.
    near = split([[[0.0, 0.0, 0.5, 0.4]]], [[0]], [[0.9]], [[BOX]], [[0]])
    assert coco.box_ap(near, 1, (40, 40)) == pytest.approx({"ap": 0.7, "ap50": 1, "ap75": 1})
    # A picture without objects, in which a better scored box was found: precision ½ at every recall.
    empty = split([[BOX], [BOX]], [[0], [0]], [[0.5], [0.9]], [[BOX], [BOX]], [[0], [-1]])
    assert coco.box_ap(empty, 1, (40, 40)) == pytest.approx({"ap": 0.5, "ap50": 0.5, "ap75": 0.5})
    # A double is wrong too, but comes after the right one.
    double = split([[BOX, BOX]], [[0, 0]], [[0.9, 0.8]], [[BOX, OTHER]], [[0, -1]])
    assert coco.box_ap(double, 1, (40, 40))["ap"] == pytest.approx(1)
    wrong_class = split([[BOX]], [[1]], [[0.9]], [[BOX]], [[0]])
    assert coco.box_ap(wrong_class, 2, (40, 40))["ap50"] == 0
    assert capsys.readouterr().out == ""


def official(examples, num_classes, images):
    """What pycocotools' own way from lists of boxes to a summary gives."""
    truth: Any = COCO()
    found: Any = []
    truth.dataset = {
        "images": [{"id": i} for i in range(images)],
        "categories": [{"id": k} for k in range(num_classes)],
    }
    truth.dataset["annotations"] = []
    for i in range(images):
        for box, label in zip(xywh(examples["true_boxes"][i]), examples["true_labels"][i], strict=True):
            if label >= 0:
                entry: Any = {"id": len(truth.dataset["annotations"]) + 1, "image_id": i, "category_id": int(label)}
                entry |= {"bbox": (100 * box).tolist(), "area": 1e4 * box[2] * box[3], "iscrowd": 0}
                truth.dataset["annotations"].append(entry)
        for box, label, score in zip(
            xywh(examples["boxes"][i]), examples["labels"][i], examples["scores"][i], strict=True
        ):
            if label >= 0:
                entry = {"image_id": i, "category_id": int(label), "score": float(score)}
                found.append({**entry, "bbox": (100 * box).tolist()})
    truth.createIndex()
    evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return dict(zip(("ap", "ap50", "ap75"), evaluation.stats.tolist(), strict=False))


def test_average_precision_is_the_official_one():
    true = np.asarray(random_boxes(12, 4))
    labels = RNG.integers(-1, 3, (12, 4))
    found = np.clip(true[:, [0, 1, 2, 3, 0, 1]] + 0.04 * RNG.normal(size=(12, 6, 4)), 0, 1)
    found[..., 2:] = np.maximum(found[..., 2:], found[..., :2])
    guesses = np.where(RNG.random((12, 6)) < 0.8, labels[:, [0, 1, 2, 3, 0, 1]], RNG.integers(-1, 3, (12, 6)))
    examples = split(found, guesses, RNG.random((12, 6)), true, labels)
    expected = official(examples, 4, 12)
    assert 0.1 < expected["ap"] < expected["ap50"] < 1
    assert coco.box_ap(examples, 4, (100, 100)) == pytest.approx(expected, abs=1e-6)


def test_average_precision_of_nothing():
    nothing_found = split([[BOX]], [[-1]], [[0.0]], [[BOX]], [[0]])
    assert coco.box_ap(nothing_found, 2, (8, 8)) == {"ap": 0, "ap50": 0, "ap75": 0}
    for found in (-1, 0):
        nothing_there = split([[BOX]], [[found]], [[0.5]], [[BOX]], [[-1]])
        assert all(np.isnan(list(coco.box_ap(nothing_there, 2, (8, 8)).values())))


def test_average_precision_of_masks():
    true = np.zeros((8, 8), np.uint8)
    true[:4, :5], true[5:, 6:] = 1, 2
    found = np.where(true == 1, 2, 0).astype(np.uint8)  # one of two objects, under another number
    found[3, :5] = 0  # and three quarters of it
    values = coco.mask_ap([true, 0 * true], [found, 0 * true], [np.array([0.1, 0.9])] * 2)
    # Recall ½: precision 1 at the 51 recalls from 0 to 0.5, of 101. IoU 0.75 is enough up to AP75, 6 of 10.
    assert values == pytest.approx({"ap": 0.6 * 51 / 101, "ap50": 51 / 101, "ap75": 51 / 101})


def panoptic(found: np.ndarray, true: np.ndarray) -> tuple[float, int, int]:
    """Σ IoU, true positives, and objects of both, of one picture, pair by pair."""
    total, matches = 0.0, 0
    a, b = np.unique(found[found > 0]), np.unique(true[true > 0])
    for i in a:
        for j in b:
            iou = np.sum((found == i) & (true == j)) / np.sum((found == i) | (true == j))
            if iou > 0.5:
                total, matches = total + iou, matches + 1
    return total, matches, len(a) + len(b)


def test_panoptic_quality_by_brute_force():
    true = np.repeat(np.repeat(RNG.integers(0, 5, (12, 3, 3)), 4, 1), 4, 2)
    found = np.where(RNG.random(true.shape) < 0.25, RNG.integers(0, 7, true.shape), (true + 2) % 5 + (true > 2))
    found = np.where(true == 0, 0, found)
    found[0], true[1], found[2], true[2] = 0, 0, 0, 0
    rows = [panoptic(a, b) for a, b in zip(found, true, strict=True)]
    quality, matches, objects = np.array(rows).sum(0)
    assert 0 < matches < objects / 2
    expected = {
        metrics.panoptic_quality: quality / (objects / 2),
        metrics.segmentation_quality: quality / matches,
        metrics.recognition_quality: matches / (objects / 2),
    }
    for metric, value in expected.items():
        total, count = jax.jit(functools.partial(metric, most_found=7, most_true=4))(found, true)
        assert float(metrics.finish(total.sum(0), count.sum(0))) == pytest.approx(value, rel=1e-5)
        assert total.shape == count.shape == (12,) and float(count[2]) == 0


def test_a_perfect_map_of_objects_may_number_them_otherwise():
    true = jnp.asarray(np.repeat(np.arange(4), 4).reshape(1, 4, 4))
    total, count = metrics.panoptic_quality((4 - true) % 4, true, most_found=3, most_true=3)
    assert float(total[0]) == float(count[0]) == 3
