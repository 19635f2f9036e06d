"""What an example may hold, and the one interface that every source of examples has."""

import dataclasses
from fractions import Fraction
from typing import Any

import numpy as np

Example = dict[str, np.ndarray]

# Field -> (dtype in a batch, meaning). A source may add fields of its own; they are passed on as they come.
FIELDS: dict[str, tuple[type, str]] = {
    "image": (np.uint8, "[H, W, C]; float32 in [0, 1] where the source has more than 8 bits"),
    "label": (np.int32, "[] class of the picture, or of its main object"),
    "boxes": (np.float32, "[N, 4] ymin, xmin, ymax, xmax as fractions of the picture; zeros where there is no object"),
    "box_labels": (np.int32, "[N] class of each box, -1 where there is none"),
    "segments": (
        np.int32,
        "[H, W] semantic class of each pixel, 255 where unknown; 0 is the background if there is one",
    ),
    "instances": (np.int32, "[H, W] object of each pixel, 0 = background, k = the k-th box"),
    "boundary": (np.float32, "[H, W] 1 where a pixel's neighbor belongs to another object, else 0"),
    "depth": (np.float32, "[H, W] distance from the viewer, larger is farther; 0 or not finite where unknown"),
    "present": (np.float32, "[K] 1 for each class that is in the picture, else 0"),
    "parity": (np.int32, "[] whether the picture's main digit is even, 0, or odd, 1"),
    "saliency": (np.float32, "[H, W] 1 on the picture's main object, else 0"),
    "normals": (np.float32, "[H, W, 3] unit vectors (x right, y down, z toward the viewer); zeros where unknown"),
    "previous": (np.uint8, "[H, W, C] the frame before the image"),
    "flow": (np.float32, "[H, W, 2] (down, right) in pixels, from each pixel of `previous` to its place in `image`"),
    "clip": (np.uint8, "[T, H, W, C] frames of one scene; the first is the image"),
    "observed": (np.uint8, "[h, w, C] what a camera, or a given program, made of the image"),
    "reference": (np.uint8, "[H, W, C] a picture with the image's colors and textures, whose content lies elsewhere"),
}
# How augmentation moves a field [B, H, W, ...]: pictures bilinearly, clips [B, T, H, W, C] frame by frame as the image;
# vectors turn and mirror with the picture, and displacements grow with it; all others are labels, of which the nearest
# is taken.
PICTURES = ("image", "previous", "reference", "clip")
DISPLACEMENTS = ("flow",)
DIRECTIONS = ("normals",)
OBSERVED = "observed"  # has pixels of its own, and is mirrored with the image; no other move is known to fit both


@dataclasses.dataclass(frozen=True)
class SourceInfo:
    """What the rest of mtjax must know of a source before it reads an example.

    `fields` maps a field to its shape without the batch axis; `class_names` maps a field that holds classes to their
    names in order; `image_shape` is (H, W, C); `wide` says that images come as float32 in [0, 1] instead of uint8.
    """

    name: str
    fields: dict[str, tuple[int, ...]]
    class_names: dict[str, tuple[str, ...]]
    image_shape: tuple[int, int, int]
    wide: bool = False

    def dtype(self, field: str) -> Any:
        """The NumPy dtype that `field` has in a batch; int32 for classes, else float32, if `FIELDS` lacks it."""
        if field == "image" and self.wide:
            return np.float32
        return FIELDS.get(field, (np.int32 if field in self.class_names else np.float32, ""))[0]


class Source:
    """Examples by number. Subclasses give `info`, `__len__` and `__getitem__`; what an example lacks is left out.

    `source[i]` is always the same; `sample(i, rng)` is what training sees, where a source may use `rng` to choose,
    say, a crop. Both must be safe to call from several threads at once.
    """

    info: SourceInfo

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: int) -> Example:
        raise NotImplementedError

    def sample(self, index: int, rng: np.random.Generator) -> Example:
        """Example `index` as training sees it: a function of `index` and the state of `rng` alone."""
        return self[index]

    def shares(self) -> tuple[tuple[int, Fraction], ...]:
        """The runs of consecutive examples that training mixes: how many there are in each, and its weight."""
        return ((len(self), Fraction(1)),)


def collate(examples: list[Example], info: SourceInfo) -> dict[str, Any]:
    """Stacks examples into a batch with `valid` [B] per field; what an example lacks is zeros with `valid` False.

    Raises ValueError when an example's field has another shape than `info` declares.
    """
    batch: dict[str, Any] = {}
    valid = {}
    for field, shape in info.fields.items():
        stacked = np.zeros((len(examples), *shape), info.dtype(field))
        present = np.zeros(len(examples), bool)
        for row, example in enumerate(examples):
            value = example.get(field)
            if value is None:
                continue
            if np.shape(value) != shape:
                raise ValueError(f"{info.name}: field {field!r} has shape {np.shape(value)}, expected {shape}")
            stacked[row], present[row] = value, True
        batch[field], valid[field] = stacked, present
    batch["valid"] = valid
    return batch
