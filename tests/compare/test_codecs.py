"""JPEG at the rate of another codec: what is counted, and that nothing else is needed to decode it."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from mtjax.compare.codecs import decode, encode, jpeg_at_rate

RNG = np.random.default_rng(0)


def smooth(height: int, width: int, channels: int) -> np.ndarray:
    rows, columns = np.indices((height, width)) / 64
    picture = 0.5 + 0.3 * np.sin(9 * rows + 4 * columns)[..., None] * np.ones(channels)
    return np.clip(picture + 0.1 * RNG.normal(size=(height, width, channels)), 0, 1)


def whole_file(image: np.ndarray, quality: int) -> bytes:
    file = io.BytesIO()
    levels = np.round(255 * image).astype(np.uint8)
    Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels).save(
        file, "JPEG", quality=quality, optimize=False, subsampling="4:2:0"
    )
    return file.getvalue()


def scan_of(file: bytes) -> bytes:
    start = file.index(b"\xff\xda")  # no two such bytes before, and a zero follows each 0xFF in a scan
    return file[start + 2 + int.from_bytes(file[start + 2 : start + 4], "big") : -2]


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_comes_as_near_to_the_rate_as_any_quality_does(channels):
    images = np.stack([smooth(64, 64, channels) for _ in range(2)])
    wanted = np.asarray([0.35, 2.5])
    coded = jpeg_at_rate(images, wanted)
    assert coded.images.shape == images.shape
    for i, image in enumerate(images):
        files = [whole_file(image, quality) for quality in range(1, 101)]
        rates = [8 * (1 + len(scan_of(file))) / 64**2 for file in files]
        nearest = min(abs(rate - wanted[i]) for rate in rates)
        assert abs(coded.bits_per_pixel[i] - wanted[i]) <= nearest + 0.02
        assert coded.bits_per_pixel[i] == rates[coded.quality[i] - 1]
        assert coded.file_bits_per_pixel[i] == 8 * len(files[coded.quality[i] - 1]) / 64**2
    assert np.mean((coded.images[1] - images[1]) ** 2) < np.mean((images[1] - 0.5) ** 2)


@pytest.mark.parametrize("shape", [(32, 32, 3), (32, 32, 1), (17, 40, 3), (9, 7, 1)])
@pytest.mark.parametrize("quality", [1, 37, 75, 100])
def test_the_quality_and_the_scan_are_all_that_is_needed(shape, quality):
    image = smooth(*shape)
    file = whole_file(image, quality)
    scan = encode(image, quality)
    assert scan == scan_of(file)
    decoded = np.asarray(Image.open(io.BytesIO(file)), np.float32) / 255
    np.testing.assert_array_equal(decode(scan, quality, shape), decoded.reshape(shape))


def test_what_is_not_counted_is_the_same_for_all_pictures():
    for shape in ((32, 32, 3), (32, 32, 1)):
        fixed = {file[: -len(scan_of(file)) - 2] for file in (whole_file(smooth(*shape), 50) for _ in range(3))}
        assert len(fixed) == 1
        assert len(fixed.pop()) == {3: 623, 1: 328}[shape[-1]]


def test_small_pictures_reach_low_rates():
    image = ndimage.gaussian_filter(RNG.random((32, 32, 3)), (4, 4, 0))
    coded = jpeg_at_rate(image[None], np.asarray([0.35]))
    assert coded.bits_per_pixel[0] == pytest.approx(0.35, abs=0.05)
    assert coded.file_bits_per_pixel[0] > 5  # of which no quality would have made less than 4.9


def test_jpeg_goes_no_lower_than_it_can():
    coded = jpeg_at_rate(np.stack([smooth(32, 32, 3)] * 2), np.asarray([0.0, 1e9]))
    assert coded.quality.tolist() == [1, 100] and coded.bits_per_pixel[0] > 0.1
