"""Reads color PNG files of 16 bits per channel, of which Pillow keeps only the upper 8."""

import pathlib
import struct
import zlib
from collections.abc import Iterator

import numpy as np

from mtjax.data.sources.untrusted import refuse_bomb

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # color type -> samples per pixel


def is_png16(path: pathlib.Path) -> bool:
    """Whether a file is a PNG of 16 bits per channel, by its header."""
    with path.open("rb") as file:
        head = file.read(26)
    return head.startswith(SIGNATURE) and len(head) == 26 and head[24] == 16


def read_png16(path: pathlib.Path) -> np.ndarray:
    """The samples uint16 [H, W, 1...4] of a 16-bit PNG (gray, gray + alpha, RGB, RGBA).

    Format: ISO/IEC 15948. Raises ValueError where the file is damaged, and for interlaced files.
    """
    chunks = _chunks(path.read_bytes())
    kind, header = next(chunks)
    if kind != b"IHDR" or len(header) != 13:
        raise ValueError("the PNG header is missing")
    width, height, bits, color, method, filtering, interlaced = struct.unpack(">IIBBBBB", header)
    if interlaced:
        raise ValueError("interlaced 16-bit PNG files are not supported")
    if not (width and height and bits == 16 and color in CHANNELS and method == filtering == 0):
        raise ValueError("the PNG header is damaged")
    refuse_bomb(width, height)
    pixel = 2 * CHANNELS[color]
    raw = _inflated(b"".join(body for kind, body in chunks if kind == b"IDAT"), height * (1 + width * pixel))
    lines = np.frombuffer(raw, np.uint8).reshape(height, 1 + width * pixel)
    if lines[:, 0].max() > 4:
        raise ValueError(f"the PNG data is damaged: there is no filter {lines[:, 0].max()}")
    samples = _unfilter(lines[:, 0], lines[:, 1:].reshape(height, width, pixel))
    return samples.reshape(height, width, CHANNELS[color], 2).view(">u2")[..., 0].astype(np.uint16)


def _inflated(data: bytes, size: int) -> bytes:
    """`size` bytes from zlib's format; never more memory than that, whatever the data would grow to."""
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(data, size + 1)
    except zlib.error as error:
        raise ValueError(f"the PNG data is damaged: {error}") from error
    if len(raw) != size or not inflater.eof:
        raise ValueError("the PNG data has the wrong length")
    return raw


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The (type, content) of each chunk, with its checksum verified."""
    if not data.startswith(SIGNATURE):
        raise ValueError("not a PNG file")
    place = len(SIGNATURE)
    while place < len(data):
        if place + 12 > len(data):
            raise ValueError("the PNG file is truncated")
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 8 + length
        if end + 4 > len(data):
            raise ValueError("the PNG file is truncated")
        if struct.unpack_from(">I", data, end)[0] != zlib.crc32(data[place + 4 : end]):
            raise ValueError(f"the PNG chunk {kind.decode('latin-1')} is damaged")
        yield kind, data[place + 8 : end]
        if kind == b"IEND":
            return
        place = end + 4
    raise ValueError("the PNG file is truncated")


def _unfilter(kinds: np.ndarray, filtered: np.ndarray) -> np.ndarray:
    """Undoes PNG's line filters: uint8 [H, W, bytes per pixel].

    A byte needs its left, upper and upper left neighbors, so all pixels of one antidiagonal are done at once.
    """
    height, width, size = filtered.shape
    done = np.zeros((height + 1, width + 1, size), np.int16)  # with a border of zeros above and on the left
    for diagonal in range(height + width - 1):
        rows = np.arange(max(0, diagonal - width + 1), min(height, diagonal + 1))
        columns = diagonal - rows
        left, up, corner = done[rows + 1, columns], done[rows, columns + 1], done[rows, columns]
        to_left, to_up, to_corner = np.abs(up - corner), np.abs(left - corner), np.abs(left + up - 2 * corner)
        paeth = np.where((to_left <= to_up) & (to_left <= to_corner), left, np.where(to_up <= to_corner, up, corner))
        kind = kinds[rows, None]
        guess = np.select([kind == 1, kind == 2, kind == 3, kind == 4], [left, up, (left + up) // 2, paeth], 0)
        done[rows + 1, columns + 1] = (filtered[rows, columns] + guess) & 255
    return done[1:, 1:].astype(np.uint8)
