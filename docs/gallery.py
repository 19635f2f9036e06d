"""Runs the code of docs/gallery.md and draws its pictures.

    python docs/gallery.py [NAME ...]

Every code block above a picture `gallery/NAME.jpg` leaves `x`, the picture wanted, and `pictures`, by caption what is
to be seen. What has the shape of `x` gets its PSNR. The first block of the page is run before each of the others.
"""

import re
import sys
import time
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mtjax import metrics

HERE = Path(__file__).resolve().parent
PAGE = HERE / "gallery.md"
HEIGHT, CAPTION, GAP = 240, 22, 6  # pixels


def blocks() -> tuple[str, dict[str, str]]:
    """The code of the page: the first block, and by picture those above pictures."""
    text = PAGE.read_text()
    first = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    found = re.findall(r"```python\n([^`]*?)```\s*!\[[^]]*\]\(gallery/(\w+)\.jpg\)", text)
    return first.group(1) if first else "", {name: code for code, name in found}


def execute(name: str) -> dict[str, Any]:
    """What a block leaves behind."""
    first, code = blocks()
    left: dict[str, Any] = {}
    exec(compile(first, f"{PAGE.name}, first block", "exec"), left)
    exec(compile(code[name], f"{PAGE.name}, {name}", "exec"), left)
    return left


def pixels(image: Any) -> np.ndarray:
    """uint8 [H, W, 3] of any image [H, W] or [H, W, C], clipped to [0, 1]; of a complex one, the magnitude."""
    image = np.asarray(image)
    image = np.abs(image) if np.iscomplexobj(image) else image
    image = image[..., None] if image.ndim == 2 else image
    image = image[..., :3] if image.shape[-1] >= 3 else np.repeat(image[..., :1], 3, -1)
    return np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)


def captions(x: Any, pictures: dict[str, Any]) -> list[str]:
    """The captions, each with the PSNR of its picture where that has the shape of `x` and is not `x` itself."""
    said = []
    for caption, image in pictures.items():
        if np.shape(image) == np.shape(x) and image is not x:
            images = (jnp.clip(jnp.abs(i) if jnp.iscomplexobj(i) else i, 0, 1)[None] for i in (image, x))
            caption = f"{caption}, {float(metrics.psnr(*images)[0]):.1f} dB"
        said.append(caption)
    return said


def sheet(x: Any, pictures: dict[str, Any]) -> Image.Image:
    """The pictures in a row, each under its caption."""
    font = ImageFont.load_default(13)
    cells = []
    for caption, image in zip(captions(x, pictures), pictures.values(), strict=True):
        picture = Image.fromarray(pixels(image))
        size = (round(picture.width * HEIGHT / picture.height), HEIGHT)
        kind = Image.Resampling.NEAREST if 2 * picture.height < HEIGHT else Image.Resampling.LANCZOS
        cells.append((caption, picture.resize(size, kind), max(size[0], int(font.getlength(caption)) + 4)))
    width = sum(cell[2] + GAP for cell in cells) - GAP
    whole = Image.new("RGB", (width, HEIGHT + CAPTION), "white")
    draw, left = ImageDraw.Draw(whole), 0
    for caption, picture, width in cells:
        whole.paste(picture, (left, CAPTION))
        draw.text((left + 2, 3), caption, fill="black", font=font)
        left += width + GAP
    return whole


def main() -> None:
    """Draws the pictures that are named, or all."""
    known = list(blocks()[1])
    for name in sys.argv[1:] or known:
        if name not in known:
            sys.exit(f"no picture {name!r} in {PAGE.name}; there is {', '.join(known)}")
        start = time.perf_counter()
        left = execute(name)
        path = HERE / "gallery" / f"{name}.jpg"
        path.parent.mkdir(exist_ok=True)
        sheet(left["x"], left["pictures"]).save(path, quality=72, optimize=True, progressive=True)
        print(f"{path.relative_to(HERE.parent)}  {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
