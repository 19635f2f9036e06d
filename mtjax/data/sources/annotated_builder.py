"""The TFDS builder of every set of annotated pictures that lies in a folder of the user's (see annotated.py)."""

import dataclasses
import io
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from mtjax.data.sources.annotated import Annotated, Boxes
from mtjax.data.sources.layout import damaged, picture_size
from mtjax.data.sources.untrusted import FORMATS, decoding, refuse_bomb
from mtjax.metrics.segmentation import VOID


@dataclasses.dataclass
class AnnotatedConfig(tfds.core.BuilderConfig):
    """Which set it is; its name tells a set whose files have changed from what it was."""

    name: str = ""
    annotated: Any = None  # an Annotated; TFDS wants defaults

    def __post_init__(self):
        self.name = f"{self.annotated.name}_{self.annotated.fingerprint()}"


class AnnotatedPictures(tfds.core.GeneratorBasedBuilder):
    """Pictures as they are in their files, with maps of classes, depths and normals, and boxes, as far as known."""

    builder_config: Any  # an AnnotatedConfig; TFDS declares its base class, or None
    VERSION = tfds.core.Version("1.0.0")  # another one when a set is read otherwise: prepared copies are kept

    def _info(self) -> tfds.core.DatasetInfo:
        annotated: Annotated = self.builder_config.annotated
        features: dict[str, Any] = {"image": tfds.features.Image(shape=(None, None, 3))}
        if "segments" in annotated.classes:
            features["segments"] = tfds.features.Image(shape=(None, None, 1), encoding_format="png")
        for field, channels in annotated.maps.items():
            features[field] = tfds.features.Tensor(shape=(None, None, channels), dtype=np.float32, encoding="zlib")
        if "box_labels" in annotated.classes:
            label = tfds.features.ClassLabel(names=annotated.classes["box_labels"])
            features["objects"] = tfds.features.Sequence({"bbox": tfds.features.BBoxFeature(), "label": label})
        return tfds.core.DatasetInfo(
            builder=self, description=__doc__, features=tfds.features.FeaturesDict(features), disable_shuffling=True
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        return {split: self._generate_examples(split) for split in self.builder_config.annotated.splits}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        annotated: Annotated = self.builder_config.annotated
        for index, record in enumerate(annotated.splits[split]):
            read = annotated.read(record)
            example: dict[str, Any] = {"image": _image(read["image"])}
            if "segments" in annotated.classes:
                segments = read.get("segments")
                example["segments"] = _png(_unknown(read["image"]) if segments is None else segments)
            for field in annotated.maps:
                example[field] = np.atleast_3d(read[field]).astype(np.float32)
            if "box_labels" in annotated.classes:
                boxes: Boxes = read["objects"]
                example["objects"] = [{"bbox": tfds.features.BBox(*box), "label": label} for box, label in boxes]
            yield index, example


def _image(image: pathlib.Path | np.ndarray) -> Any:
    """What TFDS stores as it is: a color file itself, and anything else as PNG bytes."""
    if not isinstance(image, pathlib.Path):
        return _png(image)
    try:
        with decoding(image), Image.open(image, formats=FORMATS) as picture:
            refuse_bomb(*picture.size)
            as_it_is = picture.mode == "RGB" and picture.format in ("PNG", "JPEG")
            return str(image) if as_it_is else _png(np.asarray(picture.convert("RGB")))
    except (OSError, ValueError) as error:
        raise damaged(image, error) from error


def _unknown(image: pathlib.Path | np.ndarray) -> np.ndarray:
    """A map that knows no class."""
    size = picture_size(image) if isinstance(image, pathlib.Path) else image.shape[:2]
    return np.full(size, VOID, np.uint8)


def _png(array: np.ndarray) -> io.BytesIO:
    """PNG bytes, which TFDS stores as they are (it would encode an array with TensorFlow)."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG", compress_level=1)
    buffer.seek(0)
    return buffer
