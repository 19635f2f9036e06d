"""Folders of pictures: every odd kind of file, broken files, and who sees which."""

import logging
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from mtjax import data
from mtjax.data import pipeline
from mtjax.data.sources.pictures import is_wide, read_picture
from mtjax.data.sources.png16 import read_png16

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 256, (40, 48, 3), np.uint8)
COLOR16 = RNG.integers(0, 65536, (40, 48, 3), np.uint16)
SMOOTH16 = np.stack(np.broadcast_arrays(*np.ogrid[0:60000:40j, 0:50000:48j], 30000), -1).astype(np.uint16)


def png16(array, kinds):
    """A 16-bit PNG written by the letter of the standard, line filters as `kinds` says."""
    height, width, channels = array.shape
    lines = array.astype(">u2").tobytes()
    size, stride = 2 * channels, 2 * channels * width
    above, out = bytes(stride), b""
    for row in range(height):
        line, kind = lines[row * stride : (row + 1) * stride], kinds[row % len(kinds)]
        out += bytes([kind])
        for i in range(stride):
            a = line[i - size] if i >= size else 0
            c = above[i - size] if i >= size else 0
            b = above[i]
            nearest = min((a, b, c), key=lambda v, p=a + b - c: abs(p - v))
            out += bytes([(line[i] - (0, a, b, (a + b) // 2, nearest)[kind]) % 256])
        above = line

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    color = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 16, color, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(out)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def read(path, channels=3):
    return read_picture(path, channels, longest=1024, shortest=1)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("kinds", [(0,), (1,), (2,), (3,), (4,), (4, 1, 3, 0, 2)])
def test_png_of_16_bits_keeps_all_of_them(tmp_path, channels, kinds):
    array = np.concatenate([SMOOTH16, COLOR16[..., :1]], -1)[:12, :9, :channels]
    path = tmp_path / "x.png"
    path.write_bytes(png16(array, kinds))
    np.testing.assert_array_equal(read_png16(path), array)


def test_png_of_16_bits_as_another_program_writes_it(tmp_path):
    Image.fromarray(COLOR16[..., 0]).save(tmp_path / "x.png")
    np.testing.assert_allclose(read(tmp_path / "x.png", 1)[..., 0], COLOR16[..., 0] / 65535, atol=1e-6)


@pytest.mark.parametrize("place", [30, 60, -30])
def test_damage_to_a_16_bit_png_is_noticed(tmp_path, place):
    whole = bytearray(png16(COLOR16[:8, :8], (4,)))
    whole[place] ^= 1
    (tmp_path / "x.png").write_bytes(whole)
    with pytest.raises(ValueError, match="damaged"):
        read_png16(tmp_path / "x.png")
    (tmp_path / "x.png").write_bytes(whole[:-20])
    with pytest.raises(ValueError, match=r"truncated|damaged"):
        read_png16(tmp_path / "x.png")


def test_eight_bit_files_of_every_mode(tmp_path):
    gray = COLOR[..., 0]
    Image.fromarray(COLOR).save(tmp_path / "rgb.png")
    Image.fromarray(COLOR).save(tmp_path / "rgb.tif", compression="tiff_lzw")
    Image.fromarray(gray).save(tmp_path / "gray.tiff")
    Image.fromarray(COLOR).convert("CMYK").save(tmp_path / "cmyk.jpg")
    Image.fromarray(COLOR).quantize(256).save(tmp_path / "palette.png")
    Image.fromarray(gray > 99).save(tmp_path / "bits.png")
    Image.fromarray(gray > 99).save(tmp_path / "bits.tif")
    np.testing.assert_array_equal(read(tmp_path / "rgb.png"), COLOR)
    np.testing.assert_array_equal(read(tmp_path / "rgb.tif"), COLOR)
    np.testing.assert_array_equal(read(tmp_path / "gray.tiff"), np.repeat(gray[..., None], 3, -1))
    assert read(tmp_path / "cmyk.jpg").shape == (40, 48, 3)
    assert np.abs(read(tmp_path / "palette.png").astype(int) - COLOR).mean() < 30
    for name in ("bits.png", "bits.tif"):
        np.testing.assert_array_equal(read(tmp_path / name, 1)[..., 0], (gray > 99) * 255)
    brightness = COLOR @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(read(tmp_path / "rgb.png", 1)[..., 0], brightness, atol=0.51)


def test_transparency_is_laid_over_white(tmp_path):
    opacity = np.zeros((40, 48), np.uint8)
    opacity[:20] = 255
    Image.fromarray(np.dstack([COLOR, opacity])).save(tmp_path / "rgba.png")
    Image.fromarray(np.dstack([COLOR[..., 0], opacity])).save(tmp_path / "la.png")
    (tmp_path / "rgba16.png").write_bytes(png16(np.dstack([COLOR16, opacity.astype(np.uint16) * 257]), (1,)))
    for name, shown, white in (("rgba.png", COLOR, 255), ("rgba16.png", COLOR16 / 65535, 1)):
        picture = read(tmp_path / name)
        np.testing.assert_allclose(picture[:20], shown[:20], atol=1e-6)
        assert (picture[20:] == white).all()
    np.testing.assert_array_equal(read(tmp_path / "la.png", 1)[:20, :, 0], COLOR[:20, :, 0])


def test_tiff_of_many_bits(tmp_path):
    half = (COLOR16 / 65535).astype(np.float32)
    tifffile.imwrite(tmp_path / "rgb16.tif", COLOR16, photometric="rgb")
    tifffile.imwrite(tmp_path / "planar16.tif", np.moveaxis(COLOR16, -1, 0), photometric="rgb", planarconfig="separate")
    tifffile.imwrite(tmp_path / "zip16.tif", COLOR16, photometric="rgb", compression="zlib")
    tifffile.imwrite(tmp_path / "gray16.tif", COLOR16[..., 0])
    tifffile.imwrite(tmp_path / "white16.tif", COLOR16[..., 0], photometric="miniswhite")
    tifffile.imwrite(tmp_path / "pages16.tif", np.stack([COLOR16[..., 0]] * 3), photometric="minisblack")
    tifffile.imwrite(tmp_path / "float.tif", half, photometric="rgb")
    for name in ("rgb16.tif", "planar16.tif", "zip16.tif", "float.tif"):
        np.testing.assert_allclose(read(tmp_path / name), half, atol=1e-6)
    for name, expected in (("gray16", half[..., 0]), ("pages16", half[..., 0]), ("white16", 1 - half[..., 0])):
        np.testing.assert_allclose(read(tmp_path / f"{name}.tif", 1)[..., 0], expected, atol=1e-6)
    tifffile.imwrite(tmp_path / "hdr.tif", half * 7, photometric="rgb")
    with pytest.raises(ValueError, match=r"floats in \[0, 1\]"):
        read(tmp_path / "hdr.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(COLOR).save(tmp_path / "x.png", exif=exif)
    tifffile.imwrite(tmp_path / "x.tif", COLOR16, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    turned = read(tmp_path / "x.png")
    assert turned.shape[:2] == ((40, 48) if orientation < 5 else (48, 40))
    # both files hold "the same" picture, so that their corners must end up in the same places
    corners = [tuple(COLOR[r, c]) for r in (0, -1) for c in (0, -1)]
    corners16 = [tuple(np.float32(COLOR16[r, c] / 65535)) for r in (0, -1) for c in (0, -1)]
    turned16 = read(tmp_path / "x.tif")
    for r in (0, -1):
        for c in (0, -1):
            assert corners.index(tuple(turned[r, c])) == np.argmin(
                [np.abs(turned16[r, c] - k).sum() for k in corners16]
            )


def test_large_pictures_are_reduced_but_never_below_a_crop(tmp_path):
    ramp = np.linspace(0, 255, 900).astype(np.uint8)[None].repeat(300, 0)
    for name in ("x.jpg", "x.png"):
        Image.fromarray(ramp).save(tmp_path / name)
        assert read_picture(tmp_path / name, 1, 450, 64).shape == (150, 450, 1)
        assert read_picture(tmp_path / name, 1, 450, 200).shape == (200, 600, 1)
        small = read_picture(tmp_path / name, 1, 450, 64)[75, :, 0].astype(float)
        np.testing.assert_allclose(small, np.linspace(0, 255, 450), atol=3)
    tifffile.imwrite(tmp_path / "x.tif", ramp.astype(np.uint16) * 257)
    wide = read_picture(tmp_path / "x.tif", 1, 450, 64)
    np.testing.assert_allclose(wide[75, :, 0], np.linspace(0, 1, 450), atol=0.01)


@pytest.fixture
def album(tmp_path):
    """Twelve pictures, some in a folder of their own, one with a capital suffix, and things that are no pictures."""
    (tmp_path / "more").mkdir()
    for i in range(12):
        pixels = np.full((40 + i, 60 - i, 3), 20 * i, np.uint8)
        Image.fromarray(pixels).save(tmp_path / ("more" if i % 2 else ".") / f"{i}.{'PNG' if i == 3 else 'png'}")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "._0.png").write_bytes(b"what a Mac leaves behind")
    return tmp_path


def folder(path, split="train", **params):
    return data.build({"source": "folder", "path": str(path), "size": 32, **params}, split)


def test_splits_hold_each_file_once_and_do_not_depend_on_the_place(album, tmp_path_factory):
    parts = {split: folder(album, split).files for split in ("train", "validation", "test")}
    assert sorted(len(part) for part in parts.values()) == [1, 1, 10]
    assert len({file for part in parts.values() for file in part}) == 12
    moved = album.rename(tmp_path_factory.mktemp("elsewhere") / "album")
    again = [f.relative_to(moved) for f in folder(moved).files]
    assert again == [f.relative_to(album) for f in parts["train"]]


def test_crops_are_random_for_training_and_central_for_evaluation(tmp_path):
    y, x = np.mgrid[0:100, 0:100].astype(np.uint8)
    for i in range(3):
        Image.fromarray(np.dstack([y, x, 0 * x])).save(tmp_path / f"{i}.png")
    source = folder(tmp_path)
    corners = {tuple(pipeline.batch_at(source, 1, 0, k)["image"][0, 0, 0]) for k in range(20)}
    assert len(corners) > 15 and all(y <= 68 and x <= 68 for y, x, _ in corners)
    assert tuple(source[0]["image"][0, 0]) == (34, 34, 0)


def test_many_crops_of_few_pictures(tmp_path):
    y, x = np.mgrid[0:100, 0:100].astype(np.uint8)
    for i in range(3):
        Image.fromarray(np.dstack([y, x, 0 * x + i])).save(tmp_path / f"{i}.png")
    source = folder(tmp_path, "test", crops=25)
    assert len(source) == 25
    corners = np.array([source[i]["image"][0, 0] for i in range(25)])
    assert corners[0, :2].tolist() == [34, 34] and len(np.unique(corners, axis=0)) == 25
    cells = {tuple(corner) for corner in (corners[:, :2] // 23).tolist()}
    assert len(cells) == 9  # some crop begins in every ninth of the places where it could
    train = folder(tmp_path, crops=3)
    seen = {int(i) for k in range(3) for i in pipeline.batch_at(train, 1, 0, k)["index"]}
    assert seen == {0, 1, 2}


def test_small_pictures_are_reflected_and_tiny_ones_refused(tmp_path):
    for i in range(3):
        Image.fromarray(np.arange(20 * 40, dtype=np.uint8).reshape(20, 40)).save(tmp_path / f"{i}.png")
    crop = folder(tmp_path, channels=1)[0]["image"][..., 0]
    np.testing.assert_array_equal(crop[6:26], np.asarray(Image.open(tmp_path / "0.png"))[:, 4:36])
    np.testing.assert_array_equal(crop[:6], crop[7:13][::-1])
    with pytest.raises(ValueError, match="less than half of size=64"):
        folder(tmp_path, size=64)[0]


def test_one_wide_file_makes_all_of_them_wide(album):
    tifffile.imwrite(album / "wide.tif", COLOR16, photometric="rgb")
    assert is_wide(album / "wide.tif")
    batches = [pipeline.batch_at(folder(album), 4, 0, k)["image"] for k in range(4)]
    assert all(batch.dtype == np.float32 and batch.max() <= 1 for batch in batches)
    assert folder(album, "test").info.wide


def break_one(album, cut):
    """Damages one training file: its header, or its pixels only. Returns it."""
    source = folder(album)
    broken = source.files[4]
    if cut == "pixels":
        Image.fromarray(COLOR).save(broken)
        broken.write_bytes(broken.read_bytes()[:2000])
    else:
        broken.write_bytes(b"not a picture")
    return broken


@pytest.mark.parametrize("cut", ["header", "pixels"])
def test_a_broken_file_is_named(album, cut):
    broken = break_one(album, cut)
    with pytest.raises(ValueError, match=r"folder.*: cannot read") as caught:
        list(pipeline.eval_batches(folder(album), 4))
    assert str(broken) in str(caught.value) and "\n" not in str(caught.value)
    if cut == "pixels":
        assert "folder train: cannot read example 4" in str(caught.value)


def test_a_broken_header_is_left_out(album, caplog):
    break_one(album, "header")
    with caplog.at_level(logging.WARNING):
        assert len(folder(album, on_error="skip").files) == 9
    assert "skipped 1 of 12 files" in caplog.text


def test_broken_pixels_are_replaced_in_training_and_not_counted_in_evaluation(album, caplog):
    break_one(album, "pixels")
    with caplog.at_level(logging.WARNING):
        source = folder(album, on_error="skip")
        first = [pipeline.batch_at(source, 5, 0, k) for k in range(4)]
        other = folder(album, on_error="skip")
        again = [pipeline.batch_at(other, 5, 0, k) for k in range(4)]
        for one, other in zip(first, again, strict=True):
            np.testing.assert_array_equal(one["image"], other["image"])
            assert one["valid"]["image"].all()
        batches = list(pipeline.eval_batches(source, 4))
    valid = {int(i): v for b in batches for i, v in zip(b["index"], b["valid"]["image"], strict=True) if i >= 0}
    assert [i for i in valid if not valid[i]] == [4]
    assert list(source.reader.skipped) == [4]
    assert caplog.text.count("folder train: cannot read example 4") == 2  # once for each of the two sources


def test_nothing_but_broken_files(tmp_path):
    for i in range(3):
        Image.fromarray(COLOR).save(tmp_path / f"{i}.png")
        (tmp_path / f"{i}.png").write_bytes((tmp_path / f"{i}.png").read_bytes()[:2000])
    with pytest.raises(ValueError, match="none of the 1 examples can be read"):
        pipeline.batch_at(folder(tmp_path, on_error="skip"), 1, 0, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "/nowhere/at/all"}, "'/nowhere/at/all' is missing"),
        ({"channels": 2}, "channels=2"),
        ({"size": 0}, "size=0"),
        ({"validation": 0.6, "test": 0.5}, "sum is less than 1"),
        ({"crops": 0}, "crops=0"),
        ({"longest": 16}, "longest=16"),
        ({"pth": "x"}, "did you mean 'path'"),
    ],
)
def test_bad_config_is_one_line(album, change, message):
    with pytest.raises(ValueError, match=message) as caught:
        folder(album, **change) if "path" not in change else folder(change["path"])
    assert "\n" not in str(caught.value)


def test_no_pictures(tmp_path):
    with pytest.raises(ValueError, match="no picture"):
        folder(tmp_path)
    Image.fromarray(COLOR).save(tmp_path / "only.png")
    with pytest.raises(ValueError, match=r"1 readable pictures in .* leave none for train"):
        folder(tmp_path)
    with pytest.raises(ValueError, match="is not a directory"):
        folder(tmp_path / "only.png")
