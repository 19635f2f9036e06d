"""Some hundred damaged files of every kind: each is read, or refused in one line; `fuzz.py` does it with many more."""

import binascii
import collections
import struct

import fuzz
import garbage_files
import numpy as np
import pytest
from PIL import Image

from mtjax import bitstream, cli
from mtjax.data.sources import pictures
from mtjax.physics import kernels

FILES = {"picture": 200, "MNIST file": 60, "NumPy file": 60, "bit stream": 100}


@pytest.mark.parametrize("kind", FILES)
def test_a_damaged_file_is_read_or_refused_in_one_line(kind, tmp_path):
    outcomes = collections.Counter(fuzz.once(kind, 0, number, tmp_path) for number in range(FILES[kind]))
    assert outcomes["read"] and len(outcomes) > 1  # the damage is neither always fatal nor never felt


def test_the_files_are_readable_before_they_are_damaged(tmp_path):
    for suffix, files in garbage_files.valid_pictures().items():
        for content in files:
            (path := tmp_path / f"picture{suffix}").write_bytes(content)
            pixels = pictures.read_picture(path, 3, 1024, 1)
            assert pixels.ndim == 3 and pixels.std() > 0


def bomb(suffix, path):
    """A file of some hundred bytes that says it holds a hundred thousand pixels on a side."""
    valid = {".png": 0, ".tif": 0, "16.png": -1, "16.tif": -5}[suffix]
    data = bytearray(garbage_files.valid_pictures()[suffix.removeprefix("16")][valid])
    if suffix.endswith("png"):
        data[16:24] = (100_000).to_bytes(4, "big") * 2
        data = garbage_files.repaired_png(bytes(data))
    else:
        resize(data, 100_000)
    path.write_bytes(data)


def resize(data, side):
    """Changes what the header of a TIFF says of its sides: tags of a number, a type, a count of one and a value."""
    (first,) = struct.unpack_from("<I", data, 4)
    for place in range(first + 2, first + 2 + 12 * struct.unpack_from("<H", data, first)[0], 12):
        if struct.unpack_from("<H", data, place)[0] in (256, 257):
            struct.pack_into("<HII", data, place + 2, 4, 1, side)


@pytest.mark.parametrize("suffix", [".png", ".tif", "16.png", "16.tif"])
def test_a_decompression_bomb_is_refused_with_the_limit_before_memory_is_taken(suffix, tmp_path):
    bomb(suffix, path := tmp_path / f"bomb{suffix}")
    with pytest.raises(ValueError, match=r"100000×100000 pixels .* more than 89,478,485|exceeds limit of 178956970"):
        pictures.read_picture(path, 3, 64, 1)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_data_that_grows_beyond_its_header_is_not_inflated(suffix, tmp_path):
    """A few kilobytes that would become as many gigabytes."""
    import tifffile

    path = tmp_path / f"bomb{suffix}"
    if suffix == ".png":
        path.write_bytes(garbage_files.png16(6, lines=bytes(1 << 24)))
    else:
        tifffile.imwrite(path, np.zeros((2048, 2048), np.uint16), compression="deflate", rowsperstrip=2048)
        data = bytearray(path.read_bytes())
        resize(data, 8)
        path.write_bytes(data)
    with pytest.raises(ValueError, match=r"wrong length|longer than its header says"):
        pictures.read_picture(path, 1, 64, 1)


def test_pictures_that_start_programs_or_lie_about_their_kind(tmp_path):
    for number, content in enumerate(garbage_files.FOREIGN):
        path = tmp_path / f"{number}.png"
        path.write_bytes(content)
        with pytest.raises((OSError, ValueError), match=r"cannot identify|No data|empty"):
            pictures.read_picture(path, 3, 64, 1)
        with pytest.raises(ValueError, match="cannot be read"):
            kernels.load(path)
    Image.new("RGB", (9, 9)).save(path := tmp_path / "really_a_jpeg.png", "JPEG")
    assert pictures.read_picture(path, 3, 64, 1).shape == (9, 9, 3)


@pytest.mark.parametrize("height,width", [(0, 5), (5, 0), (65535, 65535)])
def test_a_stream_of_no_size_or_of_any_is_refused(height, width):
    payload = garbage_files.valid_stream()[bitstream.HEADER.size :]
    check = binascii.crc32(struct.pack("<HH", height, width) + payload)
    counts = garbage_files.COUNTS
    data = bitstream.HEADER.pack(bitstream.MAGIC, height, width, bitstream.checksum(counts), check) + payload
    with pytest.raises(ValueError, match=f"of {height}x{width} pixels"):
        bitstream.unpack(data, counts, 8, 8)


def test_solve_and_predict_say_in_one_line_what_is_wrong_with_a_photograph(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cli, "prepare", lambda debug: None)
    bomb(".png", tmp_path / "bomb.png")
    np.save(tmp_path / "nan.npy", np.full((4, 4), np.nan))
    np.save(tmp_path / "huge.npy", np.full((4, 4), 1e300))
    np.save(tmp_path / "text.npy", np.array([["a"]]))
    np.savez(tmp_path / "archive.npz", a=np.ones(3))
    (tmp_path / "archive.npz").rename(tmp_path / "archive.npy")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "noise.tif").write_bytes(b"II*\0" + np.random.default_rng(0).bytes(99))
    (tmp_path / "loop.png").symlink_to("loop.png")
    for photo in (*sorted(tmp_path.iterdir()), tmp_path / "nothing.png", "a\0b.png"):
        for command in (["solve", str(photo)], ["predict", str(photo), f"--workdir={tmp_path}"]):
            assert cli.main(command) == 2
            out, err = capsys.readouterr()
            assert not out and err.startswith("mtjax: error: the photograph '") and err.count("\n") == 1
