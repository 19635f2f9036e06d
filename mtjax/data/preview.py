"""One batch as a picture: a column for each example, a row for each kind of label."""

import colorsys
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mtjax.data.colors import depth_colors, flow_colors, normal_colors
from mtjax.data.fields import SourceInfo
from mtjax.metrics.segmentation import VOID

CELL, GAP, MARGIN, LEFT = 192, 8, 20, 104  # pixels; a cell is so wide, and as high as its picture wants
PAPER, INK, FAINT = (250, 250, 248), (34, 34, 38), (130, 130, 136)
MOST = 6  # examples on a sheet

Paint = Callable[[Mapping[str, Any], SourceInfo, int], Image.Image]  # a cell of (batch, info, the example's row)


def sheet(batch: Mapping[str, Any], info: SourceInfo) -> np.ndarray:
    """A contact sheet, uint8 [height, width, 3], of up to six examples of a host batch and all that is known of them.

    Shows the image with its class, boxes with theirs, and each of the maps and pictures that `ROWS` lists, or that hold
    classes of their own, as far as the batch has them; a label that is not valid is left blank.
    """
    count = min(MOST, len(batch["image"]))
    rows = [row for row in (*ROWS, *_own_classes(info)) if row[1] in batch]
    width, high = LEFT + count * (CELL + GAP) - GAP + MARGIN, _cell(info)[1]
    page = Image.new("RGB", (width, 3 * MARGIN + 16 + len(rows) * (high + GAP) + 14), PAPER)
    draw = ImageDraw.Draw(page)
    shape = " x ".join(str(n) for n in info.image_shape)
    draw.text((MARGIN, MARGIN - 4), info.name, INK, ImageFont.load_default(18))
    draw.text((width - MARGIN, MARGIN), f"{shape}, {len(batch['image'])} examples", FAINT, _font(), anchor="ra")
    for i in range(count):
        draw.text((LEFT + i * (CELL + GAP), 2 * MARGIN + 10), _caption(batch, info, i), INK, _font())
    for r, (name, field, paint) in enumerate(rows):
        top = 3 * MARGIN + 10 + r * (high + GAP)
        draw.text((LEFT - 12, top + high // 2), name, FAINT, _font(), anchor="rm")
        for i in range(count):
            if batch["valid"].get(field, np.ones(count, bool))[i]:
                page.paste(paint(batch, info, i), (LEFT + i * (CELL + GAP), top))
    return np.asarray(page)


def _caption(batch: Mapping[str, Any], info: SourceInfo, i: int) -> str:
    """The example's number, and its class or classes if it has any: `label_left` is shown as "left"."""
    words = [f"#{batch['index'][i]}"] if "index" in batch else []
    for field in info.class_names:
        if field in batch and info.fields[field] == () and batch["valid"][field][i]:
            words.append(f"{field.removeprefix('label_')} {_name(info, field, batch[field][i])}")
    return "  ".join(words)


def _picture(field: str) -> Paint:
    """Paints a picture as it is, gray as color."""

    def paint(batch: Mapping[str, Any], info: SourceInfo, i: int) -> Image.Image:
        pixels = np.asarray(batch[field][i])
        pixels = pixels if pixels.dtype == np.uint8 else np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
        return _enlarged(np.repeat(pixels, 3, -1) if pixels.shape[-1] == 1 else pixels, info)

    return paint


_image = _picture("image")


def _frames(field: str) -> Paint:
    """Paints a clip's frames beside and below each other, the first at the upper left."""

    def paint(batch: Mapping[str, Any], info: SourceInfo, i: int) -> Image.Image:
        clip = np.asarray(batch[field][i])
        side = math.isqrt(len(clip) - 1) + 1
        cell = Image.new("RGB", _cell(info), PAPER)
        wide, high = cell.width // side, cell.height // side
        for t in range(len(clip)):
            cell.paste(
                _picture(field)({field: clip}, info, t).resize((wide, high)), (t % side * wide, t // side * high)
            )
        return cell

    return paint


def _boxes(batch: Mapping[str, Any], info: SourceInfo, i: int) -> Image.Image:
    """The image, dimmed, with colored boxes and the names of their classes."""
    cell = Image.blend(_image(batch, info, i), Image.new("RGB", _cell(info), PAPER), 0.35)
    draw = ImageDraw.Draw(cell)
    labels = batch.get("box_labels")
    for k, (top, left, bottom, right) in enumerate(batch["boxes"][i]):
        if bottom <= top or right <= left:
            continue
        place = [left * cell.width, top * cell.height, right * cell.width - 1, bottom * cell.height - 1]
        draw.rectangle(place, outline=INK, width=4)
        draw.rectangle([place[0] + 1, place[1] + 1, place[2] - 1, place[3] - 1], outline=_color(k + 1), width=2)
        if labels is not None and labels[i, k] >= 0:
            name = _name(info, "box_labels", labels[i, k])
            corner = (place[0] + 1, place[1] + 1)
            draw.rectangle(draw.textbbox(corner, f" {name} ", _font()), fill=INK)
            draw.text(corner, f" {name} ", _color(k + 1), _font())
    return cell


def _classes(field: str) -> Paint:
    """Paints a map of classes over the grayed image, one color per class, and none where it is unknown.

    Class 0 is not painted either if it is the background, as it is where classes have no names.
    """

    def paint(batch: Mapping[str, Any], info: SourceInfo, i: int) -> Image.Image:
        classes = np.asarray(batch[field][i])
        gray = np.asarray(_image(batch, info, i).convert("L"), np.float32)[..., None] * 0.5 + 110
        colors = np.array([_color(int(k)) for k in np.unique(classes)], np.float32)
        cover = _enlarged(
            colors[np.unique(classes, return_inverse=True)[1].reshape(classes.shape)].astype(np.uint8), info
        )
        nothing = info.class_names.get(field, ("background",))[0] == "background"
        painted = (classes >= (1 if nothing else 0)) & (classes != VOID)
        shown = _enlarged(np.repeat(painted[..., None] * np.uint8(255), 3, -1), info)
        return Image.composite(cover, Image.fromarray(np.repeat(gray, 3, -1).astype(np.uint8)), shown.convert("L"))

    return paint


def _boundary(batch: Mapping[str, Any], info: SourceInfo, i: int) -> Image.Image:
    strength = np.clip(np.asarray(batch["boundary"][i], np.float32), 0, 1)[..., None]
    return _enlarged(((1 - strength) * PAPER + strength * INK).astype(np.uint8), info)


def _saliency(batch: Mapping[str, Any], info: SourceInfo, i: int) -> Image.Image:
    """The image, dark away from the main object."""
    kept = 0.3 + 0.7 * np.clip(np.asarray(batch["saliency"][i], np.float32), 0, 1)
    mask = _enlarged(np.repeat(np.round(255 * kept).astype(np.uint8)[..., None], 3, -1), info).convert("L")
    return Image.composite(_image(batch, info, i), Image.new("RGB", _cell(info), INK), mask)


def _depth(batch: Mapping[str, Any], info: SourceInfo, i: int) -> Image.Image:
    """Scaled to the range of the batch."""
    depth = np.where(np.asarray(batch["depth"]) > 0, batch["depth"], np.nan)
    known = depth[np.isfinite(depth)]
    nearest, farthest = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    return _enlarged(depth_colors(depth[i], nearest, farthest), info)


def _normals(batch: Mapping[str, Any], info: SourceInfo, i: int) -> Image.Image:
    return _enlarged(normal_colors(np.asarray(batch["normals"][i])), info)


def _flow(batch: Mapping[str, Any], info: SourceInfo, i: int) -> Image.Image:
    """Scaled to the longest vector of the batch."""
    longest = float(np.linalg.norm(batch["flow"], axis=-1).max())
    return _enlarged(flow_colors(np.asarray(batch["flow"][i]), longest if longest > 0 else 1.0), info)


def _cell(info: SourceInfo) -> tuple[int, int]:
    """(width, height) of a cell, in the proportions of the source's pictures."""
    height, width, _ = info.image_shape
    return CELL, max(1, round(CELL * height / width))


def _enlarged(pixels: np.ndarray, info: SourceInfo) -> Image.Image:
    """A cell with each pixel kept visible as a square; cells larger than a picture's pixels are never blurred."""
    cell = _cell(info)
    small = pixels.shape[0] <= cell[1] and pixels.shape[1] <= cell[0]
    return Image.fromarray(pixels).resize(cell, Image.Resampling.NEAREST if small else Image.Resampling.BOX)


def _name(info: SourceInfo, field: str, number: int | np.integer) -> str:
    names = info.class_names.get(field, ())
    return names[number] if 0 <= number < len(names) else str(number)


def _color(k: int) -> tuple[int, int, int]:
    """Well separated colors for classes 0, 1, 2, ...: hues a golden ratio apart."""
    red, green, blue = colorsys.hls_to_rgb((k * 0.618034) % 1, 0.62, 0.85)
    return round(red * 255), round(green * 255), round(blue * 255)


def _font() -> Any:
    return ImageFont.load_default(13)


def _own_classes(info: SourceInfo) -> list[tuple[str, str, Paint]]:
    """A row for each map of classes that has a name of its own, as those that a mixture renames."""
    known = [field for _, field, _ in ROWS]
    maps = [f for f in info.class_names if f not in known and info.fields[f] == info.image_shape[:2]]
    return [(field, field, _classes(field)) for field in maps]


# Row title, the field it needs, and what paints a cell of it.
ROWS: tuple[tuple[str, str, Paint], ...] = (
    ("image", "image", _image),
    ("observed", "observed", _picture("observed")),
    ("boxes", "boxes", _boxes),
    ("segments", "segments", _classes("segments")),
    ("instances", "instances", _classes("instances")),
    ("saliency", "saliency", _saliency),
    ("boundary", "boundary", _boundary),
    ("depth", "depth", _depth),
    ("normals", "normals", _normals),
    ("previous", "previous", _picture("previous")),
    ("flow", "flow", _flow),
    ("clip", "clip", _frames("clip")),
    ("reference", "reference", _picture("reference")),
)
