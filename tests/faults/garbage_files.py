"""Valid files of every kind that mtjax reads, what may happen to them on the way, and what reading must then do."""

import binascii
import functools
import gzip
import io
import pathlib
import random
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from mtjax import bitstream
from mtjax.data.sources.mnist_files import read_split
from mtjax.data.sources.pictures import read_picture
from mtjax.physics import kernels
from mtjax.registry import ConfigError, one_line
from mtjax.solve import read_observation

EXTREMES = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\x80", b"\0\0\xff\xff", b"\x01\0\0\0")
FOREIGN = (
    b"",
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%touch marker) (w) file\n",
    b"GIF89a\x10\0\x10\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x10\0\x10\0\0\x02\x0e\x84\x8f\xa9\xcb\xed\x0f\xa3\x9c\0;",
    b"<svg xmlns='http://www.w3.org/2000/svg' width='1e9' height='1e9'/>",
    b"PK\x03\x04" + bytes(60),
    b"\x80\x04\x95\x1c\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x04true\x94\x85\x94R\x94.",
    b"\x93NUMPY\x01\0v\0{'descr': '|O', 'fortran_order': False, 'shape': (3,), }" + b" " * 60,
)


def damaged(rng: random.Random, data: bytes) -> bytes:
    """The data after one to three accidents, or acts of malice."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(data) + 1) if rng.random() < 0.5 else rng.randrange(min(len(data), 64) + 1)
        size = rng.choice((1, 1, 2, 4, 16, 64))
        what = rng.randrange(7)
        if what == 0:
            data = data[:at]
        elif what == 1:
            data = data[:at] + rng.randbytes(size) + data[at:]
        elif what == 2:
            data = data[:at] + data[at + size :]
        elif what == 3:
            data = data[:at] + rng.choice(EXTREMES) + data[at + 4 :]
        elif what == 4:
            data = data[:at] + data[at : at + size] * rng.choice((2, 100)) + data[at + size :]
        else:
            data = data[:at] + rng.randbytes(size) + data[at + size :]
    return data


def repaired_png(data: bytes) -> bytes:
    """The file with checksums that fit, as far as its chunks can be followed: damage then reaches the decoder."""
    place, parts = 8, [data[:8]]
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        body = data[place + 4 : place + 8 + length]
        parts.append(data[place : place + 4] + body + struct.pack(">I", zlib.crc32(body)))
        place += 12 + length
    return b"".join(parts) + data[place:]


def png16(color: int, side: int = 12, lines: bytes = b"") -> bytes:
    """A PNG of 16 bits per channel, with each of the five line filters unless its lines are given."""
    size = side * {0: 1, 2: 3, 4: 2, 6: 4}[color] * 2
    lines = lines or b"".join(bytes([row % 5]) + random.Random(row).randbytes(size) for row in range(side))
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", side, side, 16, color, 0, 0, 0)), (b"IDAT", zlib.compress(lines)))
    parts = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in (*chunks, (b"IEND", b""))
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@functools.cache
def valid_pictures() -> dict[str, list[bytes]]:
    """Small pictures, by suffix: each color, each depth, interlaced, compressed, turned, with a palette or opacity."""
    import tifffile

    draw = np.random.default_rng(0)
    pixels = np.repeat(np.repeat(draw.integers(0, 256, (6, 5, 4), np.uint8), 4, 0), 4, 1)
    rgb = Image.fromarray(pixels[..., :3])
    palette, rgba, exif = rgb.quantize(8), Image.fromarray(pixels), Image.Exif()
    exif[274] = 6

    def saved(picture: Image.Image, kind: str, **how: Any) -> bytes:
        buffer = io.BytesIO()
        picture.save(buffer, kind, **how)
        return buffer.getvalue()

    def wide(array: np.ndarray, **how: Any) -> bytes:
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, array, **how)
        return buffer.getvalue()

    deep = pixels.astype(np.uint16) * 257
    gray = [rgb.convert(mode) for mode in ("L", "1", "LA")]
    return {
        ".png": [
            *(saved(picture, "PNG") for picture in (rgb, palette, rgba, *gray)),
            saved(palette, "PNG", transparency=2),
            saved(rgb, "PNG", icc_profile=bytes(200)),
            *(png16(color) for color in (0, 2, 4, 6)),
        ],
        ".jpg": [
            *(saved(picture, "JPEG") for picture in (rgb, gray[0], rgb.convert("CMYK"))),
            saved(rgb, "JPEG", exif=exif, progressive=True),
            saved(rgb, "JPEG", subsampling=2, quality=30, comment=b"c" * 80),
        ],
        ".tif": [
            *(saved(picture, "TIFF") for picture in (rgb, rgba, palette, gray[1])),
            *(saved(rgb, "TIFF", compression=how) for how in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg")),
            wide(deep[..., :3]),
            wide(deep[..., 0], compression="deflate", predictor=True),
            wide(deep, tile=(16, 16), compression="deflate", photometric="rgb", extrasamples=["unassalpha"]),
            wide((pixels[..., :3] / 255).astype(np.float32), photometric="rgb", planarconfig="contig"),
            wide((pixels[..., 0] / 255).astype(np.float16)),
        ],
    }


def any_bytes(rng: random.Random, valid: list[bytes]) -> bytes:
    """Mostly a damaged file, at times one of another kind, or none at all."""
    if rng.random() < 0.05:
        return rng.choice((*FOREIGN, rng.randbytes(300), valid[0][:8] + rng.randbytes(300)))
    data = damaged(rng, rng.choice(valid))
    return repaired_png(data) if data.startswith(b"\x89PNG") and rng.random() < 0.7 else data


def picture(rng: random.Random, folder: pathlib.Path) -> str:
    """A picture's file, at times under the suffix of another kind."""
    suffix = rng.choice(list(valid_pictures()))
    path = folder / f"picture{suffix if rng.random() < 0.9 else rng.choice(list(valid_pictures()))}"
    path.write_bytes(any_bytes(rng, valid_pictures()[suffix]))
    channels, longest = rng.choice((1, 3)), rng.choice((8, 1024))
    try:
        read = read_picture(path, channels, longest, 1)
    except (OSError, ValueError) as error:
        return refused(error)
    assert read.ndim == 3 and read.shape[-1] == channels and read.size
    assert max(read.shape[:2]) <= longest or min(read.shape[:2]) == 1
    assert read.dtype == np.uint8 or (read.dtype == np.float32 and read.min() >= 0 and read.max() <= 1)
    return "read"


def refused(error: Exception) -> str:
    """The type of an error that says in one line what is wrong."""
    line = one_line(error)
    assert line and line.isprintable() and len(line) < 1000, repr(error)
    return type(error).__name__


def digits(rng: random.Random, folder: pathlib.Path) -> str:
    """The files of MNIST, packed in each of the three ways."""
    for file in folder.glob("*"):
        file.unlink()
    images, labels = np.zeros((24, 28, 28), np.uint8), np.arange(24, dtype=np.uint8) % 10
    idx = {
        "train-images-idx3-ubyte": struct.pack(">4I", 0x803, *images.shape) + images.tobytes(),
        "train-labels-idx1-ubyte": struct.pack(">2I", 0x801, 24) + labels.tobytes(),
    }
    way = rng.randrange(3)
    if way == 0:
        archive = io.BytesIO()
        rng.choice((np.savez, np.savez_compressed))(archive, allow_pickle=False, x=images, y=labels)
        (folder / "mnist_train.npz").write_bytes(any_bytes(rng, [archive.getvalue()]))
    else:
        for name, content in idx.items():
            inner = damaged(rng, content) if rng.random() < 0.5 else content
            outer = gzip.compress(inner, 1) if way == 1 else inner
            file = folder / (f"{name}.gz" if way == 1 else name)
            file.write_bytes(any_bytes(rng, [outer]) if rng.random() < 0.3 else outer)
    try:
        split = read_split(folder, "mnist", rng.choice(("train", "test")))
    except ConfigError as error:
        return refused(error)
    assert split.images.shape[1:] == (28, 28) and len(split.images) == len(split.labels) and split.labels.max() < 10
    return "read"


@functools.cache
def valid_arrays() -> list[bytes]:
    """Arrays as NumPy saves them, one of them pickled, and an archive."""
    arrays: list[np.ndarray] = [np.ones((5, 5)), np.ones((7, 6, 3), np.float32), np.ones((4, 4), np.uint8)]
    arrays += [np.ones((5, 5), complex), np.zeros((0, 3)), np.full((3, 3), np.nan), np.array([[1, "a"]], object)]
    saved = []
    for array in arrays:
        np.save(buffer := io.BytesIO(), array, allow_pickle=True)
        saved.append(buffer.getvalue())
    np.savez(buffer := io.BytesIO(), allow_pickle=False, a=arrays[0])
    return [*saved, buffer.getvalue()]


def array(rng: random.Random, folder: pathlib.Path) -> str:
    """An array's file, in the place of a photograph and of a kernel."""
    path = folder / f"array{rng.choice(('.npy', '.npy', '.npz'))}"
    path.write_bytes(any_bytes(rng, valid_arrays()))
    if path.suffix == ".npz" or rng.random() < 0.3:
        try:
            read = np.asarray(kernels.load(path))
        except (OSError, ValueError) as error:
            return refused(error)
        assert read.ndim == 2 and np.isfinite(read).all() and read.min() >= 0
        return "read"
    try:
        read = np.asarray(read_observation(path, "the photograph"))
    except ConfigError as error:
        return refused(error)
    assert read.ndim == 3 and read.size and read.dtype in (np.float32, np.complex64) and np.isfinite(read).all()
    return "read"


COUNTS = np.random.default_rng(0).integers(1, 50, (3, 2 * bitstream.LARGEST + 1))


@functools.cache
def valid_stream() -> bytes:
    """A compressed image of 30×40 pixels, a symbol per 8×8 of them and channel."""
    symbols = np.random.default_rng(1).integers(-3, 4, (4, 5, 3))
    return bitstream.pack(symbols, COUNTS, (30, 40))


def stream(rng: random.Random, folder: pathlib.Path) -> str:
    """A bit stream of the codec, half of the time with a checksum that fits."""
    data = any_bytes(rng, [valid_stream()])
    size = bitstream.HEADER.size
    if rng.random() < 0.5 and len(data) >= size:
        magic, height, width, *_ = bitstream.HEADER.unpack_from(data)
        check = binascii.crc32(struct.pack("<HH", height, width) + data[size:])
        data = bitstream.HEADER.pack(magic, height, width, bitstream.checksum(COUNTS), check) + data[size:]
    try:
        symbols, (height, width) = bitstream.unpack(data, COUNTS, 8, 8)
    except ValueError as error:
        return refused(error)
    assert symbols.shape == (-(-height // 8), -(-width // 8), 3) and np.abs(symbols).max() <= bitstream.LARGEST
    return "read"
