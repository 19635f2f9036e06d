"""Examples: where they come from (`SOURCES`), how they become batches (`pipeline`), how they vary (`augment`)."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from mtjax.data.augment import augment
from mtjax.data.fields import FIELDS, Source, SourceInfo, collate
from mtjax.data.sources.camvid import camvid
from mtjax.data.sources.cityscapes import cityscapes
from mtjax.data.sources.clips import clips
from mtjax.data.sources.coco import coco
from mtjax.data.sources.digit_scenes import digit_scenes
from mtjax.data.sources.folder import folder
from mtjax.data.sources.mixture import mixture
from mtjax.data.sources.multi_mnist import multi_mnist
from mtjax.data.sources.nyuv2 import nyuv2
from mtjax.data.sources.pairs import pairs
from mtjax.data.sources.tfds import tfds
from mtjax.data.sources.voc import voc
from mtjax.registry import ConfigError, accepted, lookup, nearest

SPLITS = ("train", "validation", "test")
SOURCES: dict[str, Callable[..., Source]] = {
    "camvid": camvid,
    "cityscapes": cityscapes,
    "clips": clips,
    "coco": coco,
    "digit_scenes": digit_scenes,
    "folder": folder,
    "mixture": mixture,
    "multi_mnist": multi_mnist,
    "nyuv2": nyuv2,
    "pairs": pairs,
    "tfds": tfds,
    "voc": voc,
}
# Keys of config.data that are not the source's own: they say what is done with its examples.
PIPELINE_KEYS = ("source", "batch_size", "eval_batch_size", "augment")


def build(config: Any, split: str) -> Source:
    """The source that `config.data`, a dict or ConfigDict, names, for `split` in train, validation, test.

    Keys other than `PIPELINE_KEYS` are the source's parameters; `source` is in `SOURCES` or is "package.module:Name".
    Raises ConfigError (a ValueError), in one line, for an unknown source, split or parameter.
    """
    if split not in SPLITS:
        raise ConfigError(f"unknown split {split!r}; {nearest(split, SPLITS)}")
    config = config.to_dict() if hasattr(config, "to_dict") else config
    builder = lookup(SOURCES, config.get("source", ""), "data.source")
    params = {key: value for key, value in config.items() if key not in PIPELINE_KEYS}
    known = accepted(builder)
    for key in params:
        if key not in known:
            raise ConfigError(f"unknown key data.{key} of source {config['source']!r}; {nearest(key, known)}")
    return builder(split, **params)


def to_device_batch(batch: Mapping[str, Any]) -> dict[str, Any]:
    """A batch as the step wants it: pictures float32 [B, H, W, C] in [0, 1], all else as it is. Jittable."""

    def as_device(value: Any) -> Any:
        return value.astype(jnp.float32) / 255 if value.dtype == jnp.uint8 else value

    return jax.tree.map(lambda value: as_device(jnp.asarray(value)), dict(batch))


__all__ = [
    "FIELDS",
    "SOURCES",
    "Source",
    "SourceInfo",
    "augment",
    "build",
    "collate",
    "digit_scenes",
    "to_device_batch",
]
