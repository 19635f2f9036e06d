"""Gray world: exact where its assumption holds, and never worse than finite elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mtjax import physics, solvers

RANDOM = np.random.default_rng(0)
solve = jax.jit(solvers.gray_world)


def test_a_cast_is_undone_where_the_world_is_gray():
    image = RANDOM.uniform(0.2, 0.7, (2, 6, 7, 3))
    image *= 0.45 / image.mean((1, 2), keepdims=True)
    cast = physics.ColorCast(RANDOM.uniform(0.5, 1.2, (2, 1, 1, 3)))
    y = cast(jnp.asarray(image, jnp.float32))
    solution = solve(y, cast, 0.45)
    np.testing.assert_allclose(solution.image, image, rtol=1e-5)
    assert solution.status.shape == (2,) and not solution.status.any()


def test_channels_get_the_mean_and_dark_ones_stay_dark():
    y = jnp.asarray(RANDOM.uniform(size=(2, 4, 4, 3)), jnp.float32).at[0, ..., 1].set(0)
    means = np.asarray(solve(y, physics.Identity(), 0.3).image).mean((1, 2))
    np.testing.assert_allclose(means, [[0.3, 0, 0.3], [0.3, 0.3, 0.3]], rtol=1e-5)
    assert solvers.gray_world(y[0, ..., 0], physics.Identity()).image.shape == (4, 4)


def test_compare_may_choose_the_exposure():
    run, tunable = solvers.make({"kind": "gray_world"})
    assert list(tunable) == ["mean"]
    y = jnp.full((1, 4, 4, 1), 0.2)
    np.testing.assert_allclose(run(y, physics.Identity(), mean=0.6).image, 0.6, rtol=1e-6)


def test_what_is_no_image_is_named():
    with pytest.raises(ValueError, match="not Downsample; try 'bicubic'"):
        solvers.gray_world(jnp.ones((1, 4, 4, 3)), physics.Downsample(2))
