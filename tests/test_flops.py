"""The count of operations against counts by hand."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from mtjax import flops


def test_matrix_products_and_convolutions_count_two_per_multiplication():
    assert flops.total(lambda a, b: a @ b, jnp.zeros((3, 4)), jnp.zeros((4, 5))) == 2 * 3 * 4 * 5
    conv = nn.Conv(8, (3, 3), use_bias=False)
    image = jnp.zeros((2, 6, 7, 5))
    params = conv.init(jax.random.key(0), image)
    assert flops.total(conv.apply, params, image) == 2 * (2 * 6 * 7 * 8) * (3 * 3 * 5)


def test_a_grouped_convolution_costs_its_own_channels():
    conv = nn.Conv(6, (3, 3), use_bias=False, feature_group_count=3)
    image = jnp.zeros((1, 4, 4, 6))
    assert flops.total(conv.apply, conv.init(jax.random.key(0), image), image) == 2 * (4 * 4 * 6) * (3 * 3 * 2)


def test_a_scan_counts_as_often_as_it_runs():
    def repeated(x):
        return jax.lax.scan(lambda c, _: (jnp.sin(c), None), x, None, length=7)[0]

    assert flops.total(repeated, jnp.zeros(5)) == 7 * 5


def test_a_cond_counts_its_dearest_branch():
    def either(x):
        return jax.lax.cond(x[0] > 0, jnp.sin, lambda x: jnp.sin(jnp.cos(x)), x)

    assert flops.total(either, jnp.zeros(5)) - flops.total(lambda x: x[0] > 0, jnp.zeros(5)) == pytest.approx(10, abs=1)


def test_a_real_fft_costs_half_a_complex_one():
    n = 8 * 8
    assert flops.total(jnp.fft.rfft2, jnp.zeros((8, 8))) == 2.5 * n * 6
    assert flops.total(lambda x: jnp.fft.irfft2(x, s=(8, 8)), jnp.zeros((8, 5), complex)) == 2.5 * n * 6
    assert flops.total(jnp.fft.fft2, jnp.zeros((8, 8), complex)) == 5 * n * 6


def test_operations_are_those_of_the_module_that_does_them():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            return jnp.sin(nn.Dense(4, use_bias=False, name="second")(nn.Dense(3, use_bias=False, name="first")(x)))

    x = jnp.zeros((2, 5))
    params = Net().init(jax.random.key(0), x)
    assert flops.by_module(Net().apply, params, x) == {"Net/first": 60, "Net/second": 48, "Net": 8}
