"""Wavelet and cosine transforms: orthogonal for every size, and those of PyWavelets and SciPy."""

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pywt
import scipy.fft

from mtjax.physics.operator import Identity
from mtjax.solvers import priors
from mtjax.solvers.transforms import DCT, WaveletTransform, is_orthogonal
from mtjax.solvers.wavelets import FILTERS

RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def normal(*shape):
    return jnp.asarray(RANDOM.standard_normal(shape))


@functools.partial(jax.jit, static_argnums=0)
def there_and_back(transform, x):
    y = transform(x)
    return y, transform.adjoint(y), jax.vjp(transform, x)[1](x)[0], transform.adjoint(x)


@pytest.mark.parametrize("name", FILTERS)
def test_filters_are_orthogonal_and_have_their_vanishing_moments(name):
    low = np.asarray(FILTERS[name])
    moments = 1 if name == "haar" else int(name.lstrip("dbsym"))
    assert len(low) == 2 * moments
    products = np.correlate(low, low, "full")[len(low) - 1 :: 2]
    np.testing.assert_allclose(products, np.eye(1, moments)[0], atol=1e-11)
    alternating = low * (-1.0) ** np.arange(len(low))
    sums = [alternating @ np.linspace(-1, 1, len(low)) ** power for power in range(moments)]
    np.testing.assert_allclose(sums, 0, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "levels", "shape"),
    [("haar", 3, (16, 8)), ("db2", 2, (12, 20)), ("sym5", 1, (16, 4)), ("db7", 1, (2, 8))],
)
def test_wavelets_are_those_of_pywavelets(name, levels, shape):
    x = normal(*shape, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # more levels than PyWavelets thinks wise
        expected = pywt.wavedec2(x[..., 0], name, "periodization", level=levels)
    found, _, _, _ = there_and_back(WaveletTransform(name, levels), x)
    np.testing.assert_allclose(found[..., 0], pywt.coeffs_to_array(expected)[0], atol=1e-11)


@pytest.mark.parametrize("block", [None, 4])
def test_cosines_are_those_of_scipy(block):
    x = normal(8, 12, 2)
    found, _, _, _ = there_and_back(DCT(block), x)
    expected = np.empty(x.shape)
    for top in range(0, 8, block or 8):
        for left in range(0, 12, block or 12):
            inside = (slice(top, top + (block or 8)), slice(left, left + (block or 12)))
            expected[inside] = scipy.fft.dctn(np.asarray(x[inside]), axes=(0, 1), norm="ortho")
    np.testing.assert_allclose(found, expected, atol=1e-12)


TRANSFORMS = [WaveletTransform("db2", 3), WaveletTransform("haar", 9), DCT(), DCT(4)]


@pytest.mark.parametrize("transform", TRANSFORMS, ids=["db2", "haar-to-the-last", "dct", "dct-blocks"])
def test_transforms_are_orthogonal_for_any_size(transform):
    x = normal(2, 13, 11, 1) + 1j * normal(2, 13, 11, 1)
    found, again, transposed, inverse = there_and_back(transform, x)
    assert found.shape == x.shape == transform.output_shape(x.shape)
    np.testing.assert_allclose(jnp.linalg.norm(found), jnp.linalg.norm(x), rtol=1e-12)
    np.testing.assert_allclose(again, x, atol=1e-12)
    np.testing.assert_allclose(transposed, inverse, atol=1e-12)  # the inverse is the transpose
    np.testing.assert_allclose(jax.vmap(transform)(x), found, atol=1e-12)
    assert is_orthogonal(transform)
    assert is_orthogonal(Identity())
    assert not is_orthogonal(priors.Gradient())


@pytest.mark.parametrize("shape", [(8, 16), (13, 11)])
def test_a_constant_image_has_no_details(shape):
    transform = WaveletTransform("db2", 2)
    coefficients, _, _, _ = there_and_back(transform, jnp.ones((*shape, 1)))
    details = transform.details((*shape, 1))
    assert 0.75 < details.mean() < 1
    np.testing.assert_allclose(coefficients[details], 0, atol=1e-12)
    assert jnp.all(coefficients[~details] > 0.5)


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="unknown wavelet 'db1', expected one of haar"):
        WaveletTransform("db1")
    with pytest.raises(ValueError, match="levels=0"):
        WaveletTransform(levels=0)
    with pytest.raises(ValueError, match="block=0"):
        DCT(0)
