"""Where the real data sets lie that some tests measure on, and what tests of sources have in common."""

import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from mtjax import data

SHARED = pathlib.Path(
    os.environ.get("MTJAX_SHARED_DATA") or pathlib.Path(__file__).resolve().parents[2] / "shared/data"
)


def needs(name):
    """Skips a test, saying so, where a real data set is absent."""
    reason = f"no {name} in {SHARED}; MTJAX_SHARED_DATA says where the real sets are"
    return pytest.mark.skipif(not (SHARED / name).is_dir(), reason=reason)


def save(file, pixels):
    """Writes a picture, and the folders on the way to it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(file)


def refusal(node, split="train"):
    """The one line that a source's node is refused with."""
    with pytest.raises(ValueError) as caught:
        data.build(node, split)
    message = str(caught.value)
    assert "\n" not in message
    return message
