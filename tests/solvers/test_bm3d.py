"""BM3D: its transforms, its groups and sums, what it does to noise, and batches."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pywt
import skimage.data
import skimage.restoration

from mtjax import solvers
from mtjax.solvers.denoise import bm3d, patch_transforms

RANDOM = np.random.default_rng(0)
SIGMA = 0.1
CLEAN = skimage.data.camera()[100:140, 190:226] / 255  # neither side a whole number of strides
NOISY = jnp.asarray(CLEAN + SIGMA * RANDOM.standard_normal(CLEAN.shape), jnp.float32)
FIRST, SECOND = bm3d._PROFILES["normal"]


@functools.partial(jax.jit, static_argnums=2)
def denoise(y, sigma, profile="normal"):
    return solvers.denoise_bm3d(y, sigma, profile).image


def error(x):
    return float(np.sqrt(np.mean((np.asarray(x) - CLEAN) ** 2)))


def test_transforms_keep_white_noise_white():
    for size in (8, 11):
        matrix = patch_transforms.cosine(size)
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(size), atol=1e-12)
    for level, matrix in enumerate(patch_transforms.haar_by_level(16)):
        n = 2**level
        expected = np.diag((np.arange(16) < n).astype(float))
        np.testing.assert_allclose(matrix @ matrix.T, expected, atol=1e-12)
        np.testing.assert_allclose(matrix[0, :n], 1 / np.sqrt(n), atol=1e-12)


def test_the_spline_wavelet_is_that_of_pywavelets():
    expected = []
    for row in np.eye(8):
        coarse, details = row, []
        for _ in range(3):
            coarse, fine = pywt.dwt(coarse, "bior1.5", mode="periodization")
            details.insert(0, fine)
        expected.append(np.concatenate([coarse, *details]))
    expected = np.array(expected).T / np.linalg.norm(expected, axis=0)[:, None]
    found = patch_transforms.spline(8)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)
    for rows in (slice(0, 1), slice(1, 2), slice(2, 4), slice(4, 8)):  # the same in each scale, up to order and sign
        likeness = np.abs(found[rows] @ expected[rows].T)
        np.testing.assert_allclose(likeness.max(0), 1, atol=1e-6)
        np.testing.assert_allclose(likeness.max(1), 1, atol=1e-6)


def test_patches_and_their_sums_are_transposes():
    slab = jnp.asarray(RANDOM.uniform(size=(9, 9, 2)))
    patches = bm3d._patches(slab, 4)
    other = jnp.asarray(RANDOM.uniform(size=patches.shape))
    np.testing.assert_array_equal(patches[1 * 6 + 2].reshape(4, 4, 2), slab[1:5, 2:6])
    sums = bm3d._overlapped(other, 6, 4)
    np.testing.assert_allclose(jnp.vdot(patches, other), jnp.vdot(slab, sums), rtol=1e-5)


def test_groups_are_the_nearest_patches_and_a_power_of_two():
    step = SECOND._replace(window=9, match=0.05)
    places = 7 * step.stride + 9
    slab = jnp.asarray(RANDOM.uniform(size=(places + 7, places + 7, 1)), jnp.float32)
    slab = slab * jnp.linspace(0, 1, places + 7)[:, None, None]  # from flat to rough: groups of all sizes
    seen = bm3d._patches(slab, 8)[..., 0]
    place = step.stride * jnp.arange(8)
    own, fits = (place, place < 3 * 7), jnp.arange(places) < places - 3
    members, counted = bm3d._match(seen, [own, own], [fits, fits], step)
    grid = np.asarray(seen).reshape(places, places, 64)
    sizes = set()
    for reference in range(64):
        i, j = divmod(reference, 8)
        top, left = 3 * i, 3 * j
        if i == 7 or j == 7:  # the image is too small for these
            assert counted[reference] == 0
            continue
        apart = np.mean((grid[top : top + 9, left : left + 9] - grid[top + 4, left + 4]) ** 2, -1)
        apart[max(places - 3 - top, 0) :] = np.inf
        apart[:, max(places - 3 - left, 0) :] = np.inf
        alike = min(int(np.sum(apart <= 0.05)), 32)
        assert counted[reference] == 2 ** int(np.log2(alike))
        sizes.add(int(counted[reference]))
        rows, columns = np.divmod(np.asarray(members[reference, : counted[reference]]), places)
        assert (rows[0], columns[0]) == (top + 4, left + 4)
        np.testing.assert_allclose(apart[rows - top, columns - left], np.sort(apart.ravel())[: len(rows)], atol=1e-5)
    assert len(sizes) > 3


def test_images_without_detail_come_back():
    np.testing.assert_allclose(
        denoise(jnp.full_like(NOISY, 0.4), SIGMA), 0.4, atol=2e-5
    )  # less what Wiener's factor takes


def test_nothing_is_lost_where_there_is_no_noise():
    np.testing.assert_allclose(denoise(NOISY, 1e-6), NOISY, atol=1e-4)


def test_noise_goes_away_and_the_second_step_helps():
    found = denoise(NOISY, SIGMA)
    first = jax.jit(lambda y: bm3d._filtered(y, y, jnp.float32(SIGMA), FIRST))(NOISY[..., None])[..., 0]
    wavelets = skimage.restoration.denoise_wavelet(np.asarray(NOISY), SIGMA, method="BayesShrink", mode="soft")
    assert found.dtype == jnp.float32
    assert error(found) < error(first) < error(wavelets) < SIGMA


@pytest.mark.slow
def test_a_batch_is_its_examples():
    y = jnp.stack([NOISY, NOISY[::-1]])[..., None]
    sigma = jnp.array([SIGMA, 0.5 * SIGMA])
    batched = solvers.denoise_bm3d(y, sigma).image
    mapped = jax.jit(jax.vmap(lambda y, s: solvers.denoise_bm3d(y, s).image))(y, sigma)
    for i in range(2):
        alone = denoise(y[i, ..., 0], sigma[i])
        np.testing.assert_allclose(batched[i, ..., 0], alone, atol=1e-5)
        np.testing.assert_allclose(mapped[i, ..., 0], alone, atol=1e-5)


@pytest.mark.slow
def test_color_uses_all_channels():
    colors = np.array([1.0, 0.8, 0.5])
    noise = np.random.default_rng(1).standard_normal((*CLEAN.shape, 3))  # whatever tests ran before this one
    y = (CLEAN[..., None] * colors + SIGMA * noise).astype(np.float32)
    together = solvers.denoise_bm3d(jnp.asarray(y), SIGMA).image
    alone = np.stack([denoise(jnp.asarray(y[..., c]), SIGMA) for c in range(3)], -1)
    errors = [np.sqrt(np.mean((np.asarray(x) - CLEAN[..., None] * colors) ** 2)) for x in (together, alone)]
    assert errors[0] < 0.9 * errors[1]


@pytest.mark.slow
def test_much_noise():
    y = jnp.asarray(CLEAN + 0.3 * RANDOM.standard_normal(CLEAN.shape), jnp.float32)
    assert error(denoise(y, 0.3, "high")) < 0.25 * 0.3


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [((7, 9), {}, "7 x 9"), ((9, 9), {"profile": "high"}, "at least 11"), ((9, 9), {"profile": "hihg"}, "'high'")],
)
def test_bad_arguments_get_one_line(shape, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        solvers.denoise_bm3d(jnp.ones(shape), 0.1, **options)
    assert "\n" not in str(caught.value)
