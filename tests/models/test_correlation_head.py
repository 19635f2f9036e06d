"""The head of motion: what its cost volume holds, what it needs, and that it learns shifts which it was not shown."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.ndimage import gaussian_filter

from mtjax.models.heads import HEADS
from mtjax.models.heads.correlation import likeness
from mtjax.models.pyramid import Pyramid
from mtjax.physics import Identity, Observed

SIZE, STRIDE = 16, 2


def seen(before, now, field="previous"):
    told = jnp.concatenate([before, jnp.ones((*before.shape[:3], 1))], -1)
    return Observed(now, Identity(), jnp.zeros((len(now), 1, 1, 1)), {field: told})


def pyramid(batch, height=SIZE, width=SIZE):
    return Pyramid((jnp.zeros((batch, -(-height // STRIDE), -(-width // STRIDE), 4)),), (STRIDE,), (height, width))


def test_likeness_is_the_product_with_the_pixel_so_far_away():
    rng = np.random.default_rng(0)
    before, now = (rng.standard_normal((2, 5, 6, 3)).astype(np.float32) for _ in range(2))
    volume = np.asarray(likeness(jnp.asarray(before), jnp.asarray(now), 2)).reshape(2, 5, 6, 5, 5)
    for _ in range(50):
        b, row, column, down, right = (int(rng.integers(n)) for n in (2, 5, 6, 5, 5))
        there = np.clip(row + down - 2, 0, 4), np.clip(column + right - 2, 0, 5)
        expected = np.mean(before[b, row, column] * now[b, *there])
        np.testing.assert_allclose(volume[b, row, column, down, right], expected, rtol=1e-5, atol=1e-6)


def test_it_learns_to_tell_shifts_of_textures_that_it_has_not_seen():
    head = HEADS["correlation"](None, 2, width=8, depth=1)
    rng = np.random.default_rng(1)

    def draw(count):
        noise = gaussian_filter(rng.standard_normal((count, SIZE, SIZE, 1)), (0, 1.2, 1.2, 0), mode="wrap")
        now = (0.5 + 0.3 * noise / noise.std()).astype(np.float32)
        shift = rng.integers(-3, 4, (count, 2))
        before = np.stack([np.roll(x, -d, (0, 1)) for x, d in zip(now, shift, strict=True)])
        return before, now, np.broadcast_to(shift[:, None, None], (count, SIZE, SIZE, 2)).astype(np.float32)

    def error(params, batch):
        before, now, flow = batch
        told = head.apply(params, pyramid(len(now)), seen(before, now))[:, 4:-4, 4:-4]
        return jnp.linalg.norm(told - flow[:, 4:-4, 4:-4] + 1e-3, axis=-1).mean()

    train = draw(256)
    params = head.init(jax.random.key(0), pyramid(2), seen(train[0][:2], train[1][:2]))
    optimizer = optax.adam(1e-2)

    @jax.jit
    def learn(params):
        def step(carry, k):
            params, state = carry
            batch = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, 16 * (k % 16), 16), train)
            updates, state = optimizer.update(jax.grad(error)(params, batch), state)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, optimizer.init(params)), jnp.arange(400))[0][0]

    test = draw(32)
    still = float(np.linalg.norm(test[2], axis=-1).mean())
    np.testing.assert_allclose(float(error(params, test)), still, rtol=1e-2)  # it starts at 0
    assert float(error(learn(params), test)) < 0.45 * still


def test_any_size_and_what_it_needs():
    head = HEADS["correlation"](None, 2, width=8, depth=1)
    pictures = jnp.zeros((1, 9, 13, 3))
    params = head.init(jax.random.key(0), pyramid(1, 9, 13), seen(pictures, pictures))
    assert head.apply(params, pyramid(1, 9, 13), seen(pictures, pictures)).shape == (1, 9, 13, 2)
    with pytest.raises(ValueError, match=r"needs an observation with fused=\('previous',\)"):
        head.apply(params, pyramid(1, 9, 13), seen(pictures, pictures, "depth"))
