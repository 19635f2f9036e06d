"""What a prediction says in numbers and classes: one function per kind of task that has more to say than a picture."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import scipy.special

from mtjax.data.fields import SourceInfo
from mtjax.tasks.detection import SHOWN_SCORE, decode

FEW = 64  # numbers that are worth reading
Facts = dict[str, Any]


def facts(kind: str, node: Mapping[str, Any], info: SourceInfo, prediction: Any) -> Facts:
    """What a prediction says, as JSON has it.

    Args:
        kind: of the task.
        node: the task's config node.
        info: of the data that it was trained with.
        prediction: of one photograph, NumPy arrays without a batch axis.
    """
    if kind in FACTS:
        return FACTS[kind](prediction, info.class_names.get(node.get("label", ""), ()))
    return numbers(prediction)


def numbers(prediction: Any) -> Facts:
    """The arrays of a prediction that are short enough, by their names in it."""
    leaves = jax.tree_util.tree_leaves_with_path(prediction)
    few = [(jax.tree_util.keystr(path, simple=True, separator="."), leaf) for path, leaf in leaves if leaf.size <= FEW]
    return {name or "value": finite(leaf) for name, leaf in few}


def class_of_picture(logits: np.ndarray, names: tuple[str, ...]) -> Facts:
    """The likeliest class, and the probability of each."""
    probability = finite(scipy.special.softmax(logits))
    return {"class": names[int(logits.argmax())], "probabilities": dict(zip(names, probability, strict=True))}


def classes_of_picture(logits: np.ndarray, names: tuple[str, ...]) -> Facts:
    """The classes that are likelier there than not, and the probability of each."""
    return {
        "classes": [name for name, logit in zip(names, logits, strict=True) if logit > 0],
        "probabilities": dict(zip(names, finite(scipy.special.expit(logits)), strict=True)),
    }


def classes_of_pixels(logits: np.ndarray, names: tuple[str, ...]) -> Facts:
    """The share of pixels of each class that is there."""
    share = np.bincount(logits.argmax(-1).reshape(-1), minlength=len(names)) / logits[..., 0].size
    return {"shares": {name: value for name, value in zip(names, finite(share), strict=True) if value}}


def share_of_pixels(logits: np.ndarray, names: tuple[str, ...]) -> Facts:
    """The share of pixels that are likelier marked than not."""
    del names
    return {"share": finite(np.mean(logits > 0))}


def objects(proposals: Any, names: tuple[str, ...]) -> Facts:
    """Class, score and box (ymin, xmin, ymax, xmax as fractions of the picture) of each object, best first."""
    found = jax.device_get(jax.jit(decode)(jax.tree.map(lambda leaf: leaf[None], proposals)))
    each = zip(found.labels[0], found.scores[0], found.boxes[0], strict=True)
    return {
        "objects": [
            {"class": names[label], "score": finite(score), "box": finite(box)}
            for label, score, box in each
            if score >= SHOWN_SCORE
        ]
    }


def distances(prediction: np.ndarray, names: tuple[str, ...]) -> Facts:
    """The nearest, the mean and the farthest depth."""
    del names
    depth = np.logaddexp(0, prediction)
    return {"nearest": finite(depth.min()), "mean": finite(depth.mean()), "farthest": finite(depth.max())}


FACTS: dict[str, Callable[[Any, tuple[str, ...]], Facts]] = {
    "boundary": share_of_pixels,
    "classification": class_of_picture,
    "depth": distances,
    "detection": objects,
    "multilabel": classes_of_picture,
    "saliency": share_of_pixels,
    "segmentation": classes_of_pixels,
}


def finite(values: Any) -> Any:
    """Numbers as JSON has them, to six digits; None for what is not finite."""
    if np.ndim(values):
        return [finite(value) for value in np.asarray(values)]
    value = np.asarray(values).item()
    if isinstance(value, float):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    return value
