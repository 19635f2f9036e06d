"""JPEG at the rate of another codec."""

import io

import numpy as np
import pytest
from PIL import Image

from mtjax.compare.codecs import jpeg_at_rate

RNG = np.random.default_rng(0)


def smooth(size: int, channels: int) -> np.ndarray:
    rows, columns = np.indices((size, size)) / size
    picture = 0.5 + 0.3 * np.sin(9 * rows + 4 * columns)[..., None] * np.ones(channels)
    return np.clip(picture + 0.1 * RNG.normal(size=(size, size, channels)), 0, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_comes_as_near_to_the_rate_as_any_quality_does(channels):
    images = np.stack([smooth(64, channels) for _ in range(2)])
    wanted = np.asarray([2.2, 3.5])
    coded = jpeg_at_rate(images, wanted)
    assert coded.images.shape == images.shape
    for i, image in enumerate(images):
        rates = []
        for quality in range(1, 101):
            file = io.BytesIO()
            Image.fromarray(np.round(255 * image).astype(np.uint8).squeeze()).save(
                file, "JPEG", quality=quality, optimize=True, subsampling="4:2:0"
            )
            rates.append(8 * len(file.getvalue()) / 64**2)
        nearest = min(abs(rate - wanted[i]) for rate in rates)
        assert abs(coded.bits_per_pixel[i] - wanted[i]) <= nearest + 0.02
        assert coded.bits_per_pixel[i] == rates[coded.quality[i] - 1]
    assert np.mean((coded.images[1] - images[1]) ** 2) < np.mean((images[1] - 0.5) ** 2)


def test_jpeg_goes_no_lower_than_it_can():
    coded = jpeg_at_rate(np.stack([smooth(32, 3)] * 2), np.asarray([0.0, 1e9]))
    assert coded.quality.tolist() == [1, 100] and coded.bits_per_pixel[0] > 1
