"""`nyuv2`: rooms, with a class, a depth and a surface normal for every pixel."""

from typing import Any, Literal

from mtjax.data.fields import Source
from mtjax.data.sources import nyuv2_archives, nyuv2_arrays
from mtjax.data.sources.annotated import Annotated, open_annotated
from mtjax.data.sources.layout import Layout
from mtjax.registry import ConfigError

TREE = (
    "nyuv2_train*.npz and nyuv2_test*.npz (arrays image, depth_u8, label13, label40, normal_i8, index), "
    "or {train,val}/{image,depth,label,normal}/NUMBER.npy"
)
CLASSES = {
    13: (
        "bed", "books", "ceiling", "chair", "floor", "furniture", "objects", "picture", "sofa", "table", "tv", "wall",
        "window",
    ),
    40: (
        "wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf", "picture",
        "counter", "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror", "floor mat", "clothes",
        "ceiling", "books", "refrigerator", "television", "paper", "towel", "shower curtain", "box", "whiteboard",
        "person", "night stand", "toilet", "sink", "lamp", "bathtub", "bag", "other structure", "other furniture",
        "other prop",
    ),
}  # fmt: skip


def nyuv2(
    split: str,
    /,
    *,
    path: str,
    classes: Literal[13, 40] = 13,
    size: int | tuple[int, int] = (96, 128),
    data_dir: str | None = None,
) -> Source:
    """NYU Depth v2 with 13 or 40 classes: image, segments, boundary, depth in meters, normals.

    Depth is 0 where it is unknown, and normals are zeros. Testing is the official test split; validation is the last
    tenth of the training frames, which are kept by scene. Where there is no test file, testing is the last fifth of the
    training frames and validation the tenth before it.

    Args:
        split: "train", "validation" or "test".
        path: the folder, either with archives: image uint8 [N, H, W, 3]; depth_u8, in 1/25.5 of a meter, 0 where
            unknown; label13 and label40 counted from 0, 255 where unknown; normal_i8, unit vectors × 127 (x right, y
            down, z away from the viewer); index, the frames' numbers; where `nyuv2_dev*.npz` may stand for the training
            file. Or with an array for each frame and label, as multi-task papers share them (Liu et al., "End-to-end
            multi-task learning with attention", CVPR 2019): image [H, W, 3] in [0, 1], depth in meters, label with -1
            where unknown and 13 classes, normal (taken as they are).
        classes: how many classes segments has.
        size: height and width in pixels; one number for squares.
        data_dir: where the prepared copy lies (default `$MTJAX_DATA`, or `~/.cache/mtjax`).

    Raises ConfigError (a ValueError), in one line, for the first thing that differs from the layout.

    Source: Silberman et al., "Indoor segmentation and support inference from RGBD images", ECCV 2012; the classes are
    those of Gupta et al., CVPR 2013 (40), and Couprie et al., ICLR 2013 (13).
    """
    if classes not in CLASSES:
        raise ConfigError(f"classes={classes}: nyuv2 has {' or '.join(map(str, CLASSES))}")
    layout = Layout(path, TREE)
    form: Any = nyuv2_arrays if (layout.root / "train").is_dir() else nyuv2_archives
    train, test = form.frames(layout, classes)
    last = len(train)
    if not test:
        last -= max(1, len(train) // 5)
        test = train[last:]
    first = last - max(1, last // 10)
    if first < 1:
        raise layout.refusal(f"has only {len(train)} training frames; three splits need 3 or more")
    splits = {"train": train[:first], "validation": train[first:last], "test": test}
    files = sorted({file for part in splits.values() for frame in part for file in form.files(frame)})
    names = {"segments": CLASSES[classes]}
    annotated = Annotated("nyuv2", splits, form.read, names, files, {"depth": 1, "normals": 3})
    return open_annotated(annotated, split, size, data_dir)
