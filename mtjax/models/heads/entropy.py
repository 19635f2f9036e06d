"""How many bits a quantized latent costs: one distribution per channel, learned together with the codec."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from mtjax.typing import Array, Float, PerExample

COMPONENTS = 3
LARGEST = 127  # symbols are the integers from -LARGEST to LARGEST
WIDEST = 7.0  # the logarithm of a component's scale stays between -WIDEST and WIDEST
TOTAL = 1 << 20  # what the frequencies of a channel's symbols add up to, about


def quantize(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """The nearest symbols, with the gradient of the identity (the straight-through estimator).

    Rounding is the same in training as in use and needs no random key, unlike additive uniform noise (Ballé et al.,
    ICLR 2017). Source: Theis et al., "Lossy image compression with compressive autoencoders", ICLR 2017.
    """
    return x + jax.lax.stop_gradient(jnp.clip(jnp.round(x), -LARGEST, LARGEST) - x)


class Factorized(nn.Module):
    """A mixture of logistic distributions per channel, integrated over each symbol's unit interval.

    Symbols are independent of each other and of their place. Source: Ballé et al., "Variational image compression with
    a scale hyperprior", ICLR 2018, section 3 (the fully factorized model), with the discretized mixture of Salimans et
    al., "PixelCNN++", ICLR 2017.
    """

    @nn.compact
    def __call__(self, symbols: Float[Array, "B h w c"]) -> PerExample:
        """Returns the bits of each example; finite, with finite gradients, for any symbols."""
        shape = (symbols.shape[-1], COMPONENTS)
        logits = self.param("logits", nn.initializers.zeros, shape)
        means = self.param("means", lambda _, shape: jnp.broadcast_to(jnp.linspace(-1.0, 1.0, shape[1]), shape), shape)
        log_scales = self.param("log_scales", nn.initializers.zeros, shape)
        log_mass = _log_mass(symbols[..., None], means, log_scales)
        log_probability = jax.nn.logsumexp(jax.nn.log_softmax(logits) + log_mass, axis=-1)
        return -log_probability.sum((1, 2, 3)) / np.log(2)


def _log_mass(x: Array, means: Array, log_scales: Array) -> Array:
    """log(F(x + ½) - F(x - ½)) of logistic distributions F, without a difference of numbers close to each other.

    With a = (x - ½ - μ)/s and b = a + 1/s it is log σ(b) + log σ(-a) + log(1 - exp(-1/s)).
    """
    width = jnp.exp(-jnp.clip(log_scales, -WIDEST, WIDEST))
    low = (x - 0.5 - means) * width
    return jax.nn.log_sigmoid(low + width) + jax.nn.log_sigmoid(-low) + jnp.log(-jnp.expm1(-width))


def frequencies(params: Any) -> np.ndarray:
    """How often each symbol is to be expected, as integers `[c, 2 LARGEST + 1]`, each at least 1.

    Computed in float64 by NumPy and rounded, so that it does not depend on the device that the network runs on; a coder
    works with these numbers alone.

    Args:
        params: those of a `Factorized`.
    """
    logits, means, log_scales = (np.asarray(params[k], np.float64)[:, None] for k in ("logits", "means", "log_scales"))
    edges = np.arange(-LARGEST, LARGEST + 2)[:, None] - 0.5
    scaled = (edges - means) * np.exp(-np.clip(log_scales, -WIDEST, WIDEST))
    mass = np.diff(scipy.special.expit(scaled), axis=1)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    probability = (mass * weights).sum(-1)
    probability /= np.maximum(probability.sum(-1, keepdims=True), np.finfo(float).tiny)
    return 1 + np.round(probability * TOTAL).astype(np.int64)
