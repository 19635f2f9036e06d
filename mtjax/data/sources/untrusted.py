"""What a picture's file must not do to its reader: raise just anything, take all memory, never end, start a program."""

import contextlib
import pathlib
from collections.abc import Iterator

from PIL import Image

from mtjax.registry import one_line

# What a file may be, whatever its name: Pillow knows some forty formats more, and starts Ghostscript for one of them.
FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")


@contextlib.contextmanager
def decoding(path: pathlib.Path) -> Iterator[None]:
    """Turns whatever a decoder raises into a ValueError, or an OSError where the file itself is the matter."""
    if path.exists() and not path.is_file():  # reading a pipe might never end
        raise ValueError("it is a directory" if path.is_dir() else "it is not a regular file")
    try:
        yield
    except (OSError, ValueError):
        raise
    except Exception as error:  # among them IndexError, KeyError, SyntaxError, struct.error and zlib.error
        raise ValueError(f"it cannot be decoded: {one_line(error)}") from error


def refuse_bomb(width: int, height: int, samples: int = 1) -> None:
    """Raises ValueError for a header that asks for more memory than a picture should, before any is taken."""
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height * max(samples / 4, 1) > limit:
        raise ValueError(f"{width}×{height} pixels of {samples} samples are more than {limit:,} (Pillow's limit)")
