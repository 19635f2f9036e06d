"""Images side by side, as one picture."""

import math
import os
from pathlib import Path

import numpy as np
from PIL import Image

GAP, PAPER, SIDE = 1, 250, 64  # pixels between images, gray of the page, and least side of an image on it


def sheet(images: np.ndarray) -> np.ndarray:
    """Images `[N, H, W, C]` in [0, 1], C being 1 or 3, row by row on a page of about as many rows as columns, uint8."""
    count, height, width, channels = images.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    page = np.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3), PAPER, np.uint8)
    shown = np.round(np.clip(images, 0, 1) * 255).astype(np.uint8)
    for i, image in enumerate(np.broadcast_to(shown, (count, height, width, 3)) if channels == 1 else shown):
        top, left = (GAP + (i // columns) * (height + GAP), GAP + (i % columns) * (width + GAP))
        page[top : top + height, left : left + width] = image
    enlarged = max(1, round(SIDE / max(height, width)))
    return page.repeat(enlarged, 0).repeat(enlarged, 1)


def write(path: Path, images: np.ndarray) -> None:
    """Writes the sheet of some images as a PNG, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    Image.fromarray(sheet(images)).save(draft, "PNG")
    os.replace(draft, path)
