"""NYU Depth v2 as a compressed archive for each split."""

import pathlib
from typing import Any

import numpy as np

from mtjax.data.sources.layout import Layout, check_classes, damaged, read_array

UNITS = 25.5  # of depth_u8 in a meter
ARRAYS = {"image": ("uint8", (3,)), "depth_u8": ("uint8", ()), "normal_i8": ("int8", (3,))}  # dtype, channels


class Archive:
    """An archive's arrays, each read when it is first asked for."""

    def __init__(self, file: pathlib.Path):
        self.file = file
        self._arrays: dict[str, np.ndarray] = {}

    def places(self) -> list[int]:
        """The places of all frames, in the order of their numbers."""
        return np.argsort(self._read("index"), kind="stable").tolist()

    def array(self, name: str) -> np.ndarray:
        """An array, if it is what it should be and has as many frames of the same size as the others."""
        array, size = self._read(name), self._read("image").shape[1:3]
        dtype, channels = ARRAYS.get(name, ("uint8", ()))
        shape = (len(self._read("index")), *size, *channels)
        if array.dtype != dtype or array.shape != shape or len(size) != 2:
            got, wanted = (", ".join(map(str, known)) for known in (array.shape, shape))
            raise damaged(self.file, f"{name} is {array.dtype} [{got}], expected {dtype} [{wanted}]")
        return array

    def _read(self, name: str) -> np.ndarray:
        if name not in self._arrays:
            self._arrays[name] = read_array(self.file, name)
        return self._arrays[name]


Frame = tuple[Archive, int, int]  # the archive, the place in it, and how many classes to read


def frames(layout: Layout, classes: int) -> tuple[list[Frame], list[Frame]]:
    """The frames of the training file and of the test file; none of the latter if it is not there."""
    found = {part: sorted(layout.root.glob(f"nyuv2_{part}*.npz")) for part in ("train", "dev", "test")}
    train = [*found["train"], *found["dev"]]
    for files in (train, found["test"]):
        if len(files) > 1:
            raise layout.refusal(f"has both {files[0].name} and {files[1].name}")
    if not train:
        raise layout.refusal("has no nyuv2_train*.npz")
    first, second = (
        [(archive, place, classes) for archive in map(Archive, files) for place in archive.places()]
        for files in (train, found["test"])
    )
    return first, second


def files(frame: Frame) -> list[pathlib.Path]:
    """What a frame is read from."""
    return [frame[0].file]


def read(frame: Frame) -> dict[str, Any]:
    """One frame of an archive."""
    archive, place, classes = frame
    image, depth, normals = map(archive.array, ARRAYS)
    labels = archive.array(f"label{classes}")[place]
    return {
        "image": image[place],
        "segments": check_classes(labels, classes, archive.file),
        "depth": depth[place] / np.float32(UNITS),
        "normals": normals[place] * np.array([1, 1, -1], np.float32) / 127,  # toward the viewer, not away
    }
