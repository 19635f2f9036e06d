"""Average precision as COCO counts it, by its own reference implementation, pycocotools."""

import contextlib
import io
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

BEST = 100  # detections of a picture that count, those with the highest scores
BETTER = {"ap": "higher", "ap50": "higher", "ap75": "higher"}


def box_ap(examples: Any, num_classes: int, size: tuple[int, int]) -> dict[str, float]:
    """AP, AP50 and AP75 of boxes of a whole split; see `average_precision`.

    Args:
        examples: "boxes" [E, M, 4] found, with "labels" and "scores" [E, M], and "true_boxes" [E, N, 4] with
            "true_labels" [E, N]. Boxes are ymin, xmin, ymax, xmax in fractions; labels below 0 are none.
        num_classes: how many classes there are.
        size: height and width of a picture in pixels.
    """
    scale = np.array([*size, *size], np.float64)

    def annotations(boxes: np.ndarray, labels: np.ndarray, scores: np.ndarray) -> Iterable[dict[str, Any]]:
        for image, k in zip(*np.nonzero(labels >= 0), strict=True):
            top, left, bottom, right = (boxes[image, k] * scale).tolist()
            yield {
                "image_id": int(image),
                "category_id": int(labels[image, k]),
                "bbox": [left, top, right - left, bottom - top],
                "area": (right - left) * (bottom - top),
                "score": float(scores[image, k]),
            }

    true_labels = examples["true_labels"]
    truth = annotations(examples["true_boxes"], true_labels, np.ones(true_labels.shape))
    found = annotations(examples["boxes"], examples["labels"], examples["scores"])
    return average_precision(list(truth), list(found), len(true_labels), num_classes, "bbox")


def mask_ap(truth: Sequence[np.ndarray], found: Sequence[np.ndarray], scores: Sequence[np.ndarray]) -> dict[str, float]:
    """AP, AP50 and AP75 of masks without classes; see `average_precision`.

    Args:
        truth: of each picture, the object of each pixel [H, W]: 0 for none, else 1, 2, ...
        found: likewise what was found.
        scores: of each picture, by what was found: `scores[i][k - 1]` is that of object k.
    """
    from pycocotools import mask as coco_mask

    def annotations(maps: Sequence[np.ndarray], scores: Sequence[np.ndarray] | None) -> Iterable[dict[str, Any]]:
        for image, objects in enumerate(maps):
            for k in np.unique(objects[objects > 0]):
                mask = objects == k
                yield {
                    "image_id": image,
                    "category_id": 0,
                    "segmentation": coco_mask.encode(np.asfortranarray(mask.astype(np.uint8))),
                    "area": int(mask.sum()),
                    "score": 1.0 if scores is None else float(scores[image][k - 1]),
                }

    return average_precision(list(annotations(truth, None)), list(annotations(found, scores)), len(truth), 1, "segm")


def average_precision(
    truth: list[dict[str, Any]], found: list[dict[str, Any]], images: int, classes: int, kind: Literal["bbox", "segm"]
) -> dict[str, float]:
    """COCO's AP: the mean over classes that occur, and over IoU 0.50, 0.55, ... 0.95; AP50 and AP75 at one IoU each.

    NaN if there is no object at all, 0 if there are objects and nothing was found. Pictures without objects count: what
    was found in them is wrong. Source: Lin et al., "Microsoft COCO", ECCV 2014, and its evaluation code.

    Args:
        truth: annotations as COCO has them, without "id" and "iscrowd".
        found: likewise, with "score".
        images: pictures are numbered from 0 to this.
        classes: so are classes.
        kind: "bbox" or "segm".
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def dataset(annotations: list[dict[str, Any]]) -> Any:
        made: Any = COCO()
        made.dataset = {
            "images": [{"id": i, "height": 0, "width": 0} for i in range(images)],  # sizes are asked for, but not used
            "categories": [{"id": i} for i in range(classes)],
            # 0 would do as an id for everything but matching, where it means "matched with none".
            "annotations": [{**a, "id": i, "iscrowd": 0} for i, a in enumerate(annotations, start=1)],
        }
        made.createIndex()
        return made

    with contextlib.redirect_stdout(io.StringIO()):  # it reports its progress there
        evaluation = COCOeval(dataset(truth), dataset(found), kind)
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [BEST]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][..., 0, 0]  # [IoU, recall, class], -1 for a class that does not occur
    occurs = precision[0, 0] > -1
    if not occurs.any():
        return dict.fromkeys(BETTER, float("nan"))
    by_iou = precision[..., occurs].mean((1, 2))
    return {"ap": float(by_iou.mean()), "ap50": float(by_iou[0]), "ap75": float(by_iou[5])}
