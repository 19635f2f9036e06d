"""Blur kernels: that they sum to 1 around their center, and have the shape that their parameters say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from mtjax import physics
from mtjax.physics import kernels


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def moments(kernel):
    """Mean and covariance of (row, column), counted from floor(n/2)."""
    kernel = np.asarray(kernel)
    places = (np.indices(kernel.shape) - np.array(kernel.shape).reshape(2, 1, 1) // 2).reshape(2, -1)
    mean = places @ kernel.ravel()
    return mean, (places - mean[:, None]) * kernel.ravel() @ (places - mean[:, None]).T


@pytest.mark.parametrize("angle", [0, 30, 90])
def test_anisotropic_has_its_widths_and_direction(angle):
    kernel = kernels.anisotropic((2.5, 1.2), angle)
    assert kernel.shape == (21, 21)
    np.testing.assert_allclose(kernel.sum(), 1, rtol=1e-12)
    mean, covariance = moments(kernel)
    np.testing.assert_allclose(mean, 0, atol=1e-12)
    along = np.array([-np.sin(np.radians(angle)), np.cos(np.radians(angle))])  # up is counter-clockwise
    np.testing.assert_allclose(covariance @ along, 2.5**2 * along, atol=0.02)
    np.testing.assert_allclose(np.trace(covariance), 2.5**2 + 1.2**2, rtol=0.01)


def test_anisotropic_of_equal_widths_is_gaussian():
    np.testing.assert_allclose(kernels.anisotropic((1.3, 1.3), 20, 8), kernels.gaussian(1.3, 8), atol=1e-15)


@pytest.mark.parametrize("size", [7, 16])
def test_random_motion_fills_its_size_around_its_center(size):
    draw = jax.jit(jax.vmap(lambda key, persistence: kernels.random_motion(key, size, persistence), (0, None)))
    smooth, rough = (np.asarray(draw(jax.random.split(jax.random.key(0), 16), p)) for p in (0.98, 0.0))
    for kernel in smooth:
        assert (kernel >= 0).all()
        np.testing.assert_allclose(kernel.sum(), 1, rtol=1e-12)
        np.testing.assert_allclose(moments(kernel)[0], 0, atol=1e-10)
        assert max(np.abs(axis - size // 2).max() for axis in np.nonzero(kernel > 1e-9)) == (size - 1) // 2
    assert np.abs(smooth[0] - smooth[1]).max() > 0.01
    # A Brownian path crosses itself: it covers more pixels than a smooth one of the same extent, less of it in each.
    assert (rough > 1e-3).sum() > 1.2 * (smooth > 1e-3).sum()


def test_random_motion_of_one_pixel_is_that_pixel():
    np.testing.assert_array_equal(kernels.random_motion(jax.random.key(0), 1), 1)


def test_load_reads_arrays_stacks_and_pictures(tmp_path):
    array = np.random.default_rng(0).integers(0, 9, (5, 4)).astype(float)
    expected = array / array.sum()
    np.save(tmp_path / "one.npy", array)
    np.save(tmp_path / "stack.npy", np.stack([np.ones((5, 4)), array]))
    np.savez(tmp_path / "named.npz", other=np.ones((3, 3)), wanted=array)
    np.savez(tmp_path / "single.npz", only=array)
    Image.fromarray(array.astype(np.uint8)).save(tmp_path / "gray.png")
    Image.fromarray(np.repeat(array[..., None], 3, -1).astype(np.uint8)).save(tmp_path / "color.bmp")
    Image.fromarray((1000 * array).astype(np.uint16)).save(tmp_path / "deep.png")
    for name, choice in {
        "one.npy": None, "stack.npy": "1", "named.npz": "wanted", "single.npz": None,
        "gray.png": None, "color.bmp": None, "deep.png": None,
    }.items():  # fmt: skip
        np.testing.assert_allclose(kernels.load(tmp_path / name, choice), expected, atol=1e-7, err_msg=name)


def test_load_says_in_one_line_what_is_wrong(tmp_path):
    np.save(tmp_path / "negative.npy", -np.ones((3, 3)))
    np.save(tmp_path / "zero.npy", np.zeros((3, 3)))
    np.save(tmp_path / "line.npy", np.ones(3))
    np.save(tmp_path / "nan.npy", np.full((3, 3), np.nan))
    np.savez(tmp_path / "named.npz", levin=np.ones((3, 3)), other=np.ones((3, 3)))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (tmp_path / "broken.npy").write_bytes(b"nothing")
    wrong = {
        ("negative.npy", None): "at least 0",
        ("zero.npy", None): "not all 0",
        ("nan.npy", None): "finite",
        ("line.npy", None): r"shape \(3,\)",
        ("named.npz", None): "there is levin, other",
        ("named.npz", "levn"): "did you mean 'levin'",
        ("broken.png", None): "cannot be read",
        ("broken.npy", None): "cannot be read",
        ("absent.npy", None): "there is no kernel file",
    }
    for (name, choice), message in wrong.items():
        with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
            kernels.load(tmp_path / name, choice)
        assert "\n" not in str(caught.value)


def test_observations_blur_with_every_kernel(tmp_path):
    np.save(tmp_path / "kernel.npy", np.eye(3))
    image = jax.random.uniform(jax.random.key(1), (2, 16, 16, 1))
    keys = jax.random.split(jax.random.key(0), 2)

    def blur(**spec):
        spec = {"operator": {"kind": "blur", **spec}}
        return jax.jit(lambda k, x: physics.observe(spec, k, x).operator.kernel)(keys, image)

    moved = blur(kernel="random_motion", size=7)
    assert moved.shape == (2, 7, 7, 1)
    assert np.abs(moved[0] - moved[1]).max() > 0.01
    np.testing.assert_allclose(blur(kernel="file", path=str(tmp_path / "kernel.npy"))[..., 0], np.eye(3) / 3)
    narrow = blur(kernel="anisotropic", std=(1.5, 0.5), angle=90)[..., 0]
    np.testing.assert_allclose(narrow, kernels.anisotropic((1.5, 0.5), 90))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: kernels.anisotropic((1.0, 0.0)), "expected two positive"),
        (lambda: kernels.random_motion(jax.random.key(0), 0), "size=0"),
        (lambda: kernels.random_motion(jax.random.key(0), 5, 1.0), "persistence=1.0"),
        (lambda: jax.jit(lambda s: kernels.anisotropic((s, 1.0)))(jnp.ones(())), "size=None with a traced"),
    ],
)
def test_bad_arguments_get_one_line(wrong, message):
    with pytest.raises(ValueError, match=message) as caught:
        wrong()
    assert "\n" not in str(caught.value)
