"""The TFDS builder of `digit_scenes`: real handwritten digits on real photographs, from files that mtjax already has.

| split      | photographs (scikit-image, scikit-learn)                                             | load_digits   |
|------------|--------------------------------------------------------------------------------------|---------------|
| train      | astronaut, motorcycle_left, flower, rocket, ihc, retina, camera, gravel, brick, moon | 0 ... 1199    |
| validation | coffee, grass                                                                        | 1200 ... 1497 |
| test       | chelsea, china, coins                                                                | 1498 ... 1796 |

No photograph and no digit is in two splits. `load_digits` keeps its writers together, so that blocks of it hardly
share a writer either. Color photographs of natural scenes are drawn more often than the others (the weights below).
"""

import dataclasses
import importlib.util
import io
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from mtjax.data.sources.scenes import Material, compose

# split -> photographs (package, path inside it, how often) and the digits it owns
SPLITS: dict[str, tuple[list[tuple[str, str, float]], range]] = {
    "train": (
        [
            ("skimage", "data/astronaut.png", 3.0),
            ("skimage", "data/motorcycle_left.png", 3.0),
            ("sklearn", "datasets/images/flower.jpg", 3.0),
            ("skimage", "data/rocket.jpg", 2.0),
            ("skimage", "data/ihc.png", 1.0),
            ("skimage", "data/retina.jpg", 1.0),
            ("skimage", "data/camera.png", 1.0),
            ("skimage", "data/gravel.png", 1.0),
            ("skimage", "data/brick.png", 1.0),
            ("skimage", "data/moon.png", 0.5),
        ],
        range(1200),
    ),
    "validation": ([("skimage", "data/coffee.png", 3.0), ("skimage", "data/grass.png", 1.0)], range(1200, 1498)),
    "test": (
        [
            ("skimage", "data/chelsea.png", 3.0),
            ("sklearn", "datasets/images/china.jpg", 3.0),
            ("skimage", "data/coins.png", 1.0),
        ],
        range(1498, 1797),
    ),
}
DIGITS = tuple(str(d) for d in range(10))


@dataclasses.dataclass
class DigitScenesConfig(tfds.core.BuilderConfig):
    """How large the scenes are and how many each split has; the name of the data set's folder tells all of it."""

    name: str = ""
    size: int = 64
    train: int = 3000
    validation: int = 256
    test: int = 256

    def __post_init__(self):
        self.name = f"{self.size}px_{self.train}_{self.validation}_{self.test}"


class DigitScenes(tfds.core.GeneratorBasedBuilder):
    """Photograph crops with one to three handwritten digits; every label is exact because mtjax drew it."""

    builder_config: Any  # a DigitScenesConfig; TFDS declares its base class, or None
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [DigitScenesConfig()]  # noqa: RUF012 (TFDS's own interface)

    def _info(self) -> tfds.core.DatasetInfo:
        size = self.builder_config.size
        plane = tfds.features.Image(shape=(size, size, 1), dtype=np.uint8, encoding_format="png")
        return tfds.core.DatasetInfo(
            builder=self,
            description=__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(size, size, 3), dtype=np.uint8, encoding_format="png"),
                    "label": tfds.features.ClassLabel(names=DIGITS),  # the front-most digit, which is the largest
                    "objects": tfds.features.Sequence(  # from front to back
                        {"bbox": tfds.features.BBoxFeature(), "label": tfds.features.ClassLabel(names=DIGITS)}
                    ),
                    "segments": plane,  # 0 = background, d + 1 = digit d
                    "instances": plane,  # 0 = background, k = k-th object
                    "boundary": plane,  # 255 on both sides of an instance's border
                    "layers": plane,  # 1 = nearest ... 4 = background
                    "photograph": tfds.features.Text(),
                    "digit_ids": tfds.features.Sequence(np.int32),  # places in load_digits
                }
            ),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        counts = {split: getattr(self.builder_config, split) for split in SPLITS}
        return {split: self._generate_examples(split, count) for split, count in counts.items()}

    def _generate_examples(self, split: str, count: int) -> Iterator[tuple[int, dict[str, Any]]]:
        material = load_material(split)
        for index in range(count):
            rng = np.random.default_rng([list(SPLITS).index(split), index])
            scene = compose(rng, self.builder_config.size, material)
            yield (
                index,
                {
                    "image": _png(scene.image),
                    "label": scene.classes[0],
                    "objects": [
                        {"bbox": tfds.features.BBox(*box), "label": label}
                        for box, label in zip(scene.boxes, scene.classes, strict=True)
                    ],
                    "segments": _png(scene.segments),
                    "instances": _png(scene.instances),
                    "boundary": _png(scene.boundary),
                    "layers": _png(scene.layers),
                    "photograph": scene.photograph,
                    "digit_ids": scene.digit_ids,
                },
            )


def load_material(split: str) -> Material:
    """The photographs and digits that the scenes of `split` are made of."""
    from sklearn.datasets import load_digits  # slow to import, and needed only here

    photographs, own = SPLITS[split]
    digits: Any = load_digits()
    return Material(
        photographs={path.rsplit("/", 1)[-1]: (_photograph(package, path), w) for package, path, w in photographs},
        digits=digits.images[own.start : own.stop].astype(np.float32) / 16,
        digit_classes=digits.target[own.start : own.stop],
        digit_ids=np.arange(own.start, own.stop),
    )


def _photograph(package: str, path: str) -> Image.Image:
    """A photograph that lies inside an installed package, read without the package's own downloading loader."""
    spec = importlib.util.find_spec(package)
    folder = spec.submodule_search_locations if spec else None
    file = pathlib.Path(folder[0] if folder else package) / path
    if not file.is_file():
        raise ValueError(f"digit_scenes needs {path} of the package {package}, which this installation lacks: {file}")
    with Image.open(file) as picture:
        return picture.convert("RGB")


def _png(array: np.ndarray) -> io.BytesIO:
    """PNG bytes, which TFDS stores as they are (it would encode an array with TensorFlow)."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG", compress_level=1)
    buffer.seek(0)
    return buffer
