"""Wavelet, bilateral, median and diffusion filters against plain NumPy, SciPy and scikit-image; noise levels."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pywt
import scipy.ndimage
import skimage.data
import skimage.restoration

from mtjax import solvers

RANDOM = np.random.default_rng(0)
CAMERA = skimage.data.camera()[64:192:2, 128:256:2] / 255.0  # 64x64, head and tripod
NOISY = CAMERA + 0.1 * RANDOM.standard_normal(CAMERA.shape)


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def uniform(*shape):
    return jnp.asarray(RANDOM.uniform(size=shape))


def psnr(image):
    return -10 * np.log10(np.mean((np.asarray(image) - CAMERA) ** 2))


wavelet = jax.jit(solvers.denoise_wavelet, static_argnames=("method", "threshold", "wavelet", "levels", "shifts"))


@pytest.mark.parametrize(("method", "threshold"), [("bayes", "soft"), ("visu", "hard")])
def test_wavelet_thresholds_what_pywavelets_finds(method, threshold):
    y = np.asarray(uniform(17, 14))
    padded = np.pad(y, ((3, 4), (3, 3)), mode="symmetric")  # 24 x 20
    first, *rest = pywt.wavedec2(padded, "db2", "periodization", level=2)

    def reduce(d):
        limit = 0.2 * np.sqrt(2 * np.log(y.size))
        if method == "bayes":
            limit = 0.2**2 / np.sqrt(max(np.mean(d**2) - 0.2**2, 1e-20))
        return pywt.threshold(d, limit, threshold)

    details = [tuple(reduce(d) for d in level) for level in rest]
    expected = pywt.waverec2([first, *details], "db2", "periodization")[3:-4, 3:-3]
    found = wavelet(y, 0.2, method=method, threshold=threshold, wavelet="db2", levels=2)
    np.testing.assert_allclose(found.image, expected, atol=1e-10)


def test_wavelet_denoises_as_well_as_scikit_image():
    peer = skimage.restoration.denoise_wavelet(
        NOISY, 0.1, wavelet="db2", mode="soft", wavelet_levels=2, method="BayesShrink", rescale_sigma=False
    )
    found = wavelet(NOISY, 0.1, wavelet="db2", levels=2).image
    assert abs(psnr(found) - psnr(peer)) < 0.5  # not the same at borders, which are near here, nor the same grid
    assert psnr(found) > psnr(NOISY) + 3
    assert psnr(wavelet(NOISY, 0.1, wavelet="db2", levels=2, shifts=2).image) > psnr(found) + 0.2


def test_noise_is_estimated_for_each_example():
    y = jnp.stack([jnp.asarray(NOISY), jnp.asarray(CAMERA + 0.3 * (NOISY - CAMERA))])[..., None]
    y = jnp.concatenate([y, 0.5 * y], -1)
    found = solvers.estimate_noise(y)
    peer = [skimage.restoration.estimate_sigma(np.asarray(one), average_sigmas=True, channel_axis=-1) for one in y]
    np.testing.assert_allclose(found, peer, rtol=0.05)
    assert 0.95 < found[0] / 0.075 < 1.15
    unknown, known = (wavelet(y, sigma, wavelet="haar", levels=1).image for sigma in (None, found))
    np.testing.assert_allclose(unknown, known, atol=1e-12)


def mean_of_alike(y, color, spatial, reach):
    padded = np.pad(y, ((reach, reach), (reach, reach), (0, 0)), mode="symmetric")
    found = np.zeros_like(y)
    for i, j in np.ndindex(y.shape[:2]):
        window = padded[i : i + 2 * reach + 1, j : j + 2 * reach + 1]
        down, right = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        difference = ((window - y[i, j]) ** 2).sum(-1)
        weight = np.exp(-difference / (2 * color**2) - (down**2 + right**2) / (2 * spatial**2))
        found[i, j] = (weight[..., None] * window).sum((0, 1)) / weight.sum()
    return found


def test_bilateral_is_the_mean_of_what_is_near_and_alike():
    y = uniform(2, 9, 8, 3)
    color, spatial = jnp.array([0.2, 0.7]), jnp.array([1.0, 2.0])
    found = jax.jit(solvers.denoise_bilateral, static_argnames="size")(y, color, spatial, size=5).image
    for i in range(2):
        np.testing.assert_allclose(found[i], mean_of_alike(np.asarray(y[i]), color[i], spatial[i], 2), atol=1e-12)
    default = solvers.denoise_bilateral(y[0], 0.3, 0.6).image
    np.testing.assert_allclose(default, mean_of_alike(np.asarray(y[0]), 0.3, 0.6, 2), atol=1e-12)


def test_bilateral_is_scikit_images_where_distance_does_not_matter():
    y = uniform(12, 12)
    peer = skimage.restoration.denoise_bilateral(
        np.array(y), win_size=5, sigma_color=0.2, sigma_spatial=1e6, mode="symmetric"
    )
    np.testing.assert_allclose(solvers.denoise_bilateral(y, 0.2, 1e6, 5).image, peer, atol=1e-3)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_median_is_scipys(size):
    y = uniform(2, 11, 7, 2)
    expected = scipy.ndimage.median_filter(np.asarray(y), (1, size, size, 1), mode="reflect")
    found = jax.jit(solvers.denoise_median, static_argnames="size")(y, size=size)
    np.testing.assert_array_equal(found.image, expected)


diffuse = jax.jit(solvers.denoise_diffusion, static_argnames=("iterations", "function"))


@pytest.mark.parametrize("function", ["exponential", "rational"])
def test_diffusion_is_the_explicit_scheme(function):
    y = np.asarray(uniform(2, 8, 9, 1))
    kappa, step = np.array([0.1, 0.6]), np.array([0.25, 0.1])
    expected = y.copy()
    for _ in range(5):
        change = np.zeros_like(y)
        for axis, shift in itertools.product((1, 2), (1, -1)):
            slope = np.roll(expected, shift, axis) - expected
            edge = [slice(None)] * 4
            edge[axis] = 0 if shift == 1 else -1
            slope[tuple(edge)] = 0
            ratio = (slope / kappa[:, None, None, None]) ** 2
            change += slope * (np.exp(-ratio) if function == "exponential" else 1 / (1 + ratio))
        expected += step[:, None, None, None] * change
    found = diffuse(y, 5, kappa, step, function=function)
    np.testing.assert_allclose(found.image, expected, atol=1e-12)
    np.testing.assert_allclose(found.image.mean((1, 2, 3)), y.mean((1, 2, 3)), rtol=1e-12)
    assert jnp.all(found.image.max((1, 2, 3)) <= y.max((1, 2, 3)) + 1e-12)
    assert jnp.all(found.image.min((1, 2, 3)) >= y.min((1, 2, 3)) - 1e-12)
    assert found.iterations.tolist() == [5, 5]
    assert solvers.status_name(found.status[0]) == "iteration_limit"


SMALL = {
    "wavelet": functools.partial(solvers.denoise_wavelet, wavelet="haar", levels=1),
    "bilateral": functools.partial(solvers.denoise_bilateral, size=3),
    "median": solvers.denoise_median,
    "diffusion": functools.partial(solvers.denoise_diffusion, iterations=2),
}


@pytest.mark.parametrize("name", SMALL)
def test_denoisers_batch_and_have_gradients(name):
    """Constant images come back; a batch is its examples; gradients are finite, also where nothing differs."""
    solve = SMALL[name]

    @jax.jit
    def both(y):
        return solve(y).image, jax.grad(lambda y: jnp.sum(solve(y).image ** 2))(y)

    y = uniform(3, 6, 7, 1).at[0].set(0.25)
    batch, gradient = both(y)
    np.testing.assert_allclose(batch[0], y[0], atol=1e-12)
    assert jnp.isfinite(gradient).all()
    np.testing.assert_allclose(jax.jit(jax.vmap(lambda one: solve(one).image))(y), batch, atol=1e-12)
    assert jax.eval_shape(lambda: solve(y[1, ..., 0])).image.shape == (6, 7)


def test_wrong_settings_are_named():
    y = uniform(8, 8)
    for call, message in (
        (lambda: solvers.denoise_wavelet(y, method="baies"), "unknown method 'baies'"),
        (lambda: solvers.denoise_wavelet(y, threshold="firm"), "unknown threshold 'firm'"),
        (lambda: solvers.denoise_wavelet(y, shifts=0), "shifts=0"),
        (lambda: solvers.denoise_median(y, 4), "size=4"),
        (lambda: solvers.denoise_bilateral(y, size=2), "size=2"),
        (lambda: solvers.denoise_bilateral(y, sigma_spatial=jnp.ones(())), "size=None"),
        (lambda: solvers.denoise_diffusion(y, function="linear"), "unknown function 'linear'"),
        (lambda: solvers.estimate_noise(y[:1]), "y is 1x8 pixels"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
