"""What all sets of annotated pictures have in common: fitting, cutting, boundaries, and how they are shown."""

import numpy as np
import pytest

from mtjax.data import preview
from mtjax.data.fields import SourceInfo
from mtjax.data.sources.annotated import boundary_of
from mtjax.data.sources.fitting import covering, cut
from mtjax.data.sources.layout import held_out


def ramp(height, width):
    """An example whose maps say where each pixel lies, with a box around its right half."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    image = np.repeat((255 * x / (width - 1)).astype(np.uint8)[..., None], 3, -1)
    boxes, labels = np.float32([[0, 0.5, 1, 1]]), np.int32([4])
    return {
        "image": image,
        "depth": y / height,
        "normals": np.stack([x, y, x], -1),
        "boxes": boxes,
        "box_labels": labels,
    }


@pytest.mark.parametrize(
    ("old", "size"), [((40, 60), (20, 20)), ((40, 60), (40, 60)), ((10, 30), (20, 24)), ((9, 9), (4, 6))]
)
def test_an_example_just_covers_the_size(old, size):
    fitted = covering(ramp(*old), size)
    height, width = fitted["image"].shape[:2]
    assert height >= size[0] and width >= size[1] and (height == size[0] or width == size[1])
    assert abs(height / width - old[0] / old[1]) < 0.1
    assert fitted["depth"].shape == fitted["normals"].shape[:2] == (height, width)
    # what is seen at a pixel is within half an old or new pixel of where it lay
    expected = (np.arange(height) + 0.5) / height - 0.5 / old[0]
    assert np.abs(fitted["depth"][:, 0] - expected).max() <= 0.5 / old[0] + 1e-6
    np.testing.assert_array_equal(fitted["boxes"], ramp(*old)["boxes"])


def test_labels_are_not_blended_and_pictures_are():
    example = {"image": np.zeros((8, 8, 3), np.uint8), "segments": np.zeros((8, 8), np.uint8)}
    example["image"][::2], example["segments"][::2] = 200, 255
    fitted = covering(example, (4, 4))
    assert set(np.unique(fitted["segments"])) <= {0, 255} and np.unique(fitted["image"]).max() < 200


@pytest.mark.parametrize(("place", "left"), [(0.0, 0), (0.5, 20), (0.999, 40)])
def test_everything_is_cut_at_one_place(place, left):
    part = cut(ramp(20, 60), (20, 20), 0.5, place)
    assert part["image"].shape == (20, 20, 3) and part["normals"][0, 0, 0] == left
    box = [0, max(0, (30 - left) / 20), 1, 1]
    np.testing.assert_allclose(part["boxes"][0], box if box[1] < 1 else [0] * 4)
    assert part["box_labels"][0] == (4 if box[1] < 1 else -1)


def test_boundaries_lie_on_both_sides_and_not_at_void():
    segments = np.array([[0, 0, 1, 1], [0, 255, 1, 1], [2, 255, 1, 1]])
    np.testing.assert_array_equal(boundary_of(segments), [[0, 1, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0]])


def test_what_is_held_out_depends_on_names_alone():
    names = [f"a{i}" for i in range(50)]
    kept, out = held_out(names, str, 0.2)
    assert len(out) == 10 and sorted(kept + out) == sorted(names)
    again = held_out(reversed(names), str, 0.2)
    assert [set(part) for part in again] == [set(kept), set(out)]
    assert len(held_out(names[:2], str, 0.01)[1]) == 1


def test_classes_without_a_background_are_all_painted_and_void_is_not():
    sheets = {}
    for names in (("sky", "car"), ("background", "car")):
        info = SourceInfo("x", {"image": (6, 12, 3), "segments": (6, 12)}, {"segments": names}, (6, 12, 3))
        segments = np.full((1, 6, 12), 255)
        segments[:, :, :6] = 0
        valid = {"image": np.array([True]), "segments": np.array([True])}
        batch = {"image": np.full((1, 6, 12, 3), 90, np.uint8), "segments": segments, "valid": valid}
        sheets[names[0]] = preview.sheet(batch, info)[70 + 96 + 8 :, preview.LEFT : preview.LEFT + 192][
            :96
        ]  # twice as wide as high
    sky, nothing = sheets.values()
    assert (np.ptp(sky[48, 48].astype(int)) > 50) and np.ptp(nothing[48, 48]) == 0
    np.testing.assert_array_equal(sky[:, 96:], nothing[:, 96:])
    assert np.ptp(sky[48, 150]) == 0
