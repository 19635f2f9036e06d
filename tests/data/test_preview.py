"""The picture of a batch shows what the batch has."""

import numpy as np

from mtjax.data import pipeline, preview
from mtjax.data.fields import SourceInfo


def test_sheet_has_a_row_per_label_and_a_column_per_example(scenes):
    batch = pipeline.batch_at(scenes("train"), 8, 0, 0)
    full = preview.sheet(batch, scenes("train").info)
    assert full.dtype == np.uint8 and full.shape[-1] == 3
    few = preview.sheet(
        {k: v[:2] for k, v in batch.items() if k in ("image", "index")} | {"valid": {}}, scenes("train").info
    )
    assert few.shape[0] < full.shape[0] / 3 and few.shape[1] < full.shape[1] / 2
    top, left = 70 + preview.CELL // 2, preview.LEFT + preview.CELL // 2
    np.testing.assert_array_equal(full[top, left], batch["image"][0, 16, 16])


def test_gray_and_float_images():
    info = SourceInfo("gray", {"image": (8, 8, 1)}, {}, (8, 8, 1), wide=True)
    sheet = preview.sheet({"image": np.full((1, 8, 8, 1), 0.5, np.float32), "valid": {"image": np.array([True])}}, info)
    assert (sheet[100:200, preview.LEFT : preview.LEFT + 100] == 128).all()


def test_what_is_not_valid_is_left_blank(scenes):
    batch = pipeline.batch_at(scenes("train"), 2, 0, 0)
    hidden = {**batch, "valid": {**batch["valid"], "depth": np.array([False, True])}}
    one, other = (preview.sheet(b, scenes("train").info) for b in (batch, hidden))
    changed = np.argwhere((one != other).any(-1))
    (top, left), (bottom, right) = changed.min(0), changed.max(0)
    assert bottom - top < preview.CELL and left >= preview.LEFT and right < preview.LEFT + preview.CELL


def test_every_class_of_the_picture_is_in_its_caption():
    names = ("no", "yes")
    fields = {"image": (8, 8, 1), "label_left": (), "label_right": ()}
    info = SourceInfo("pairs", fields, {"label_left": names, "label_right": names}, (8, 8, 1))
    batch = {"image": np.zeros((1, 8, 8, 1), np.uint8), "valid": dict.fromkeys(fields, np.array([True]))}

    def caption(left, right):
        return preview.sheet(
            {**batch, "label_left": np.array([left]), "label_right": np.array([right])}, info
        ).tobytes()

    assert len({caption(left, right) for left in (0, 1) for right in (0, 1)}) == 4


def test_maps_of_classes_have_a_row_whatever_they_are_called():
    fields = {"image": (8, 8, 1), "segments": (8, 8), "room_parts": (8, 8)}
    info = SourceInfo("rooms", fields, dict.fromkeys(("segments", "room_parts"), ("wall", "floor")), (8, 8, 1))
    maps = {"segments": np.zeros((1, 8, 8), np.int32), "room_parts": np.ones((1, 8, 8), np.int32)}
    batch = {"image": np.zeros((1, 8, 8, 1), np.uint8), **maps, "valid": dict.fromkeys(fields, np.array([True]))}
    both, one = preview.sheet(batch, info), preview.sheet({k: v for k, v in batch.items() if k != "room_parts"}, info)
    row = preview.CELL + preview.GAP
    assert both.shape[0] - one.shape[0] == row
    segments, parts = (both[60 + k * row : 60 + (k + 1) * row, preview.LEFT :] for k in (1, 2))
    assert (segments != parts).any()
