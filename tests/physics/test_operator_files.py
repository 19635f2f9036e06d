"""Operators whose masks and matrices come from files."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from shared_data import SHARED, needs

from mtjax.physics import OPERATORS

RNG = np.random.default_rng(0)
KEYS = jax.random.split(jax.random.key(0), 2)
IMAGE = jnp.asarray(RNG.random((2, 8, 12, 3), np.float32))
HALF = np.zeros((8, 12), np.uint8)
HALF[:, :6] = 1


def build(kind, shape=(8, 12, 3), **params):
    return OPERATORS[kind](KEYS, shape, **{k: str(v) if k == "path" else v for k, v in params.items()})


def test_masks_of_pixels(tmp_path):
    np.save(tmp_path / "a.npy", HALF)
    np.savez(tmp_path / "b.npz", other=1 - HALF, half=HALF.astype(bool))
    Image.fromarray(HALF * np.uint8(255)).save(tmp_path / "c.png")
    for file, name in (("a.npy", None), ("b.npz", "half"), ("c.png", None)):
        masked = build("mask", pattern="file", path=tmp_path / file, name=name)(IMAGE)
        np.testing.assert_array_equal(masked[:, :, :6], IMAGE[:, :, :6])
        assert (np.asarray(masked[:, :, 6:]) == 0).all()


def test_masks_of_frequencies(tmp_path):
    corner = np.zeros((8, 12))
    corner[0, 0] = 1
    np.save(tmp_path / "corner.npy", corner)
    np.save(tmp_path / "middle.npy", np.fft.fftshift(corner))
    for file, centered in (("corner.npy", False), ("middle.npy", True)):
        operator = build("fourier", pattern="file", path=tmp_path / file, centered=centered)
        mean = IMAGE.mean((1, 2), keepdims=True)  # all that frequency 0 tells
        np.testing.assert_allclose(operator.adjoint(operator(IMAGE)), np.broadcast_to(mean, IMAGE.shape), atol=1e-5)


def test_matrices(tmp_path):
    matrix = RNG.normal(size=(5, 16)).astype(np.float32)
    np.save(tmp_path / "phi.npy", matrix)
    y = build("matrix_sensing", matrix="file", path=tmp_path / "phi.npy", block=4)(IMAGE)
    patch = IMAGE[1, 4:8, 8:12, 2].ravel()
    np.testing.assert_allclose(y[1, 1, 2].reshape(5, 3)[:, 2], matrix @ patch, rtol=1e-4)
    np.save(tmp_path / "whole.npy", RNG.normal(size=(7, 96)))
    assert build("matrix_sensing", matrix="file", path=tmp_path / "whole.npy")(IMAGE).shape == (2, 1, 7, 3)


@pytest.mark.parametrize(
    ("kind", "params", "array", "message"),
    [
        ("mask", {"pattern": "file"}, None, "there is no mask file"),
        ("mask", {"pattern": "file"}, np.ones((8, 8)), "has shape (8, 8); expected (8, 12), as the image"),
        ("mask", {"pattern": "file"}, np.zeros((8, 12)), "must be in [0, 1]"),
        ("mask", {"pattern": "file"}, -np.ones((8, 12)), "must be in [0, 1]"),
        ("fourier", {"pattern": "file"}, np.full((8, 12), np.nan), "expected finite numbers of two axes"),
        ("fourier", {"pattern": "file"}, np.array([None]), "Object arrays cannot be loaded"),
        ("matrix_sensing", {"matrix": "file", "block": 4}, np.ones((3, 9)), "has shape (3, 9); expected 16 columns"),
        ("matrix_sensing", {"matrix": "file", "name": "phi"}, np.ones((3, 96)), "name='phi' is no matrix"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, kind, params, array, message):
    if array is not None:
        np.save(tmp_path / "x.npy", array)
    with pytest.raises((ValueError, OSError)) as caught:
        build(kind, path=tmp_path / "x.npy", **params)
    assert message in str(caught.value) and str(tmp_path / "x.npy") in str(caught.value)


@pytest.mark.parametrize(("kind", "key"), [("mask", "pattern"), ("fourier", "pattern"), ("matrix_sensing", "matrix")])
def test_a_path_is_needed(kind, key):
    with pytest.raises(ValueError, match=f"path=None for {key}='file'; expected"):
        build(kind, **{key: "file"})


@needs("mri/masks")
@pytest.mark.parametrize("share", [10, 30, 50])
def test_the_real_masks_are_the_same_frequencies(share):
    image = jnp.asarray(RNG.random((1, 256, 256, 1), np.float32))
    corner, middle = (
        build(
            "fourier", (256, 256, 1), pattern="file", path=SHARED / f"mri/masks/{name}_{share}.npy", centered=centered
        )
        for name, centered in (("ista_mask", False), ("admmnet_mask", True))
    )
    np.testing.assert_array_equal(corner(image), middle(image))
    assert abs(float(corner.mask.mean()) - share / 100) < 0.01 and corner.mask[0, 0, 0] == 1


@needs("cs/phi")
def test_the_real_matrices():
    operator = build("matrix_sensing", (66, 99, 1), matrix="file", path=SHARED / "cs/phi/phi_0_25_1089.npy", block=33)
    assert operator(jnp.ones((1, 66, 99, 1))).shape == (1, 2, 3, 272)
