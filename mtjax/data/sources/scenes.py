"""Composes one scene: handwritten digits laid over a crop of a photograph, with everything known about it."""

import colorsys
import dataclasses

import numpy as np
from PIL import Image, ImageFilter

MAX_DIGITS = 3
LAYERS = MAX_DIGITS + 1  # the background is the farthest layer
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # how bright red, green and blue look (ITU-R BT.601)
SHADOW = 0.03  # standard deviation of a digit's shadow, as a share of the picture's size
MIN_VISIBLE = 0.5  # of a digit's pixels; less, and it is placed anew
MIN_SPREAD = 0.06  # standard deviation of a crop's gray values: a crop of nothing teaches nothing


@dataclasses.dataclass(frozen=True)
class Material:
    """What a split's scenes are made of: photographs (with how often to use each) and digits [N, 8, 8] in [0, 1]."""

    photographs: dict[str, tuple[Image.Image, float]]
    digits: np.ndarray
    digit_classes: np.ndarray
    digit_ids: np.ndarray


@dataclasses.dataclass(frozen=True)
class Scene:
    """One composed scene of S×S pixels; digits are ordered from front to back, so the first is the main one."""

    image: np.ndarray  # uint8 [S, S, 3]
    instances: np.ndarray  # uint8 [S, S], 0 = background, k = k-th digit
    segments: np.ndarray  # uint8 [S, S], 0 = background, d + 1 = digit d
    boundary: np.ndarray  # uint8 [S, S], 255 on a boundary
    layers: np.ndarray  # uint8 [S, S], 1 = nearest layer ... LAYERS = background
    boxes: list[tuple[float, float, float, float]]  # ymin, xmin, ymax, xmax of the visible part, in [0, 1]
    classes: list[int]
    digit_ids: list[int]
    photograph: str


def compose(rng: np.random.Generator, size: int, material: Material) -> Scene:
    """Draws one scene of `size`×`size` pixels: one to three digits on a crop of a photograph.

    Digits are stacked by the area of their strokes, the largest in front. So the main digit, the one with the largest
    visible area, is always the front-most one and wholly visible.
    """
    photograph, canvas = _crop(rng, size, material)
    chosen, strokes = _place(rng, size, material)
    instances = np.zeros((size, size), np.uint8)
    for k in reversed(range(len(chosen))):
        canvas = _paint(rng, canvas, strokes[k], material)
        instances[strokes[k] > 0.5] = k + 1
    classes = [int(material.digit_classes[c]) for c in chosen]
    segments = np.array([0, *(c + 1 for c in classes)], np.uint8)[instances]
    return Scene(
        image=np.round(np.clip(canvas, 0, 1) * 255).astype(np.uint8),
        instances=instances,
        segments=segments,
        boundary=boundary_of(instances).astype(np.uint8) * 255,
        layers=np.array([LAYERS, *range(1, len(chosen) + 1)], np.uint8)[instances],
        boxes=[box_of(instances == k + 1) for k in range(len(chosen))],
        classes=classes,
        digit_ids=[int(material.digit_ids[c]) for c in chosen],
        photograph=photograph,
    )


def boundary_of(instances: np.ndarray) -> np.ndarray:
    """bool [H, W]: pixels with a neighbor, of four, in another instance (both sides of a border are marked)."""
    edge = np.zeros(instances.shape, bool)
    down, right = instances[1:] != instances[:-1], instances[:, 1:] != instances[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    return edge


def box_of(mask: np.ndarray) -> tuple[float, float, float, float]:
    """The tightest (ymin, xmin, ymax, xmax) around a nonempty mask, as fractions of its height and width."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    height, width = mask.shape
    return rows[0] / height, columns[0] / width, (rows[-1] + 1) / height, (columns[-1] + 1) / width


def _crop(rng: np.random.Generator, size: int, material: Material) -> tuple[str, np.ndarray]:
    """A square of a photograph at a random place and scale (log-uniform), antialiased: its name, float [S, S, 3]."""
    names = list(material.photographs)
    weights = np.array([weight for _, weight in material.photographs.values()])
    for _ in range(8):
        name = names[rng.choice(len(names), p=weights / weights.sum())]
        picture = material.photographs[name][0]
        largest = min(picture.size)
        side = np.exp(rng.uniform(np.log(min(1.25 * size, largest)), np.log(largest)))
        left, top = rng.uniform(0, picture.width - side), rng.uniform(0, picture.height - side)
        box = (left, top, left + side, top + side)
        square = picture.resize((size, size), Image.Resampling.LANCZOS, box, reducing_gap=2.0)
        crop = np.asarray(square, np.float32) / 255
        if crop.mean(-1).std() >= MIN_SPREAD:
            break
    return name, crop[:, ::-1] if rng.random() < 0.5 else crop


def _place(rng: np.random.Generator, size: int, material: Material) -> tuple[list[int], list[np.ndarray]]:
    """Chooses digits and where they lie: indices and stroke coverages float [S, S], front to back, largest first."""
    wanted = 1 + rng.choice(MAX_DIGITS, p=[0.5, 0.3, 0.2])
    index, stroke = _stroke(rng, size, material, low=0.55, high=0.8)
    chosen, strokes, covered = [index], [stroke], stroke > 0.5
    for _ in range(8 * (wanted - 1)):
        if len(chosen) == wanted:
            break
        index, stroke = _stroke(rng, size, material, low=0.25, high=0.4)
        mask = stroke > 0.5
        visible = (mask & ~covered).sum()
        if MIN_VISIBLE * mask.sum() <= visible and 0 < mask.sum() < (strokes[-1] > 0.5).sum():
            chosen.append(index)
            strokes.append(stroke)
            covered |= mask
    return chosen, strokes


def _stroke(rng: np.random.Generator, size: int, material: Material, low: float, high: float) -> tuple[int, np.ndarray]:
    """A random digit turned, slanted and scaled to `low` ... `high` of the picture: its index and coverage [S, S]."""
    index = int(rng.integers(len(material.digits)))
    digit = np.pad(material.digits[index], 2)  # a margin, so that the interpolated strokes end inside the array
    height = size * rng.uniform(low, high)
    scale = height / 8  # picture pixels per digit pixel
    angle, slant = np.deg2rad(rng.uniform(-20, 20)), rng.uniform(-0.15, 0.15)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    inverse = np.array([[1, slant], [0, 1]]) @ turn / scale  # from picture (x, y) to digit (x, y)
    reach = np.abs(np.linalg.inv(inverse)) @ np.array([2.8, 4.0])  # half the digit's width and height in the picture
    center = rng.uniform(np.minimum(reach, size / 2), size - np.minimum(reach, size / 2))
    offset = np.array(digit.shape[::-1]) / 2 - inverse @ center
    affine = (*inverse[0], offset[0], *inverse[1], offset[1])
    source = Image.fromarray(digit.astype(np.float32))
    smooth = source.transform((size, size), Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC)
    # A slope of `scale` per digit pixel is one of about 1 per picture pixel: an edge as sharp as an antialiased one.
    return index, np.clip((np.asarray(smooth) - 0.45) * scale + 0.5, 0, 1)


def _paint(rng: np.random.Generator, canvas: np.ndarray, stroke: np.ndarray, material: Material) -> np.ndarray:
    """Lays a bright stroke of a random hue, textured by another crop of the split's photographs, over its own shadow.

    The shadow is what keeps captions readable on any photograph.
    """
    size = len(canvas)
    spread = Image.fromarray((255 * stroke).astype(np.uint8)).filter(ImageFilter.GaussianBlur(SHADOW * size))
    shadow = np.clip(2 * np.asarray(spread, np.float32) / 255, 0, 1)[..., None]
    canvas = canvas * (1 - 0.8 * shadow)
    color = np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0, 0.6), rng.uniform(0.8, 1)), np.float32)
    texture = _crop(rng, size, material)[1] @ LUMA
    texture = (texture - texture.mean()) * min(1.0, 0.08 / (texture.std() + 1e-6))
    return canvas + stroke[..., None] * (np.clip(color + texture[..., None], 0, 1) - canvas)
