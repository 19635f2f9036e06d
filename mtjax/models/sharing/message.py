"""Messages by prompts: a token per task looks at features and at the other tokens, then says what its task reads."""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp

from mtjax.models.layers import conv, float32
from mtjax.models.pyramid import Pyramid
from mtjax.models.sharing.base import Sharing
from mtjax.pytree import replace
from mtjax.typing import Array, Float


class Prompt(nn.Module):
    """One task's token, the same for every picture."""

    width: int

    @nn.compact
    def __call__(self) -> Float[Array, "d"]:
        """Returns the learned vector."""
        return self.param("token", nn.initializers.normal(1.0), (self.width,))


class Modulate(nn.Module):
    """One task's reading of a pyramid: `x ⊙ (1 + s + a g) + b`, with s, g, b per channel from the token.

    a is the affinity of the token to the features of each place, between 0 and 1. s, g and b start at zero.
    """

    @nn.compact
    def __call__(self, pyramid: Pyramid, token: Float[Array, "B d"]) -> Pyramid:
        """Returns a pyramid of the same shapes."""
        levels, width = [], token.shape[-1]
        for i, x in enumerate(pyramid.levels):
            zeros, channels = nn.initializers.zeros, x.shape[-1]
            vectors = nn.Dense(3 * channels, kernel_init=zeros, name=f"channels{i}")(token)[:, None, None]
            scale, gain, bias = (v.astype(x.dtype) for v in jnp.split(vectors, 3, -1))
            keys = conv(width, kernel=1, dtype=x.dtype, name=f"keys{i}")(x)
            affinity = jnp.einsum("bhwd,bd->bhw", float32(keys), token) / width**0.5
            levels.append(x * (1 + scale + nn.sigmoid(affinity)[..., None].astype(x.dtype) * gain) + bias)
        return replace(pyramid, levels=tuple(levels))


class Message(Sharing):
    """Tokens attend to the coarsest features of their tasks, then to each other, then modulate what the heads read."""

    width: int = 32
    heads: int = 4
    mixes = True

    @nn.compact
    def __call__(
        self, features: dict[str, Pyramid], reads: Mapping[str, str], wanted: tuple[str, ...]
    ) -> dict[str, tuple[Pyramid, ...]]:
        """See `Sharing`."""
        look, talk = (
            nn.MultiHeadDotProductAttention(self.heads, qkv_features=self.width, use_bias=False, name=name)
            for name in ("look", "talk")
        )
        norm = nn.LayerNorm(name="look_norm")
        places = {}
        for name in dict.fromkeys(reads[task] for task in self.tasks):
            x = float32(features[name].levels[-1])  # few places, and so float32 costs little
            places[name] = norm(x.reshape(x.shape[0], -1, x.shape[-1]))
        tokens = []
        for task in self.tasks:
            seen = places[reads[task]]
            token = jnp.broadcast_to(Prompt(self.width, name=f"prompt_{task}")(), (seen.shape[0], 1, self.width))
            tokens.append(token + look(token, seen))
        x = jnp.concatenate(tokens, 1)
        x = x + talk(nn.LayerNorm(name="talk_norm")(x))
        hidden = nn.gelu(nn.Dense(2 * self.width, name="hidden")(nn.LayerNorm(name="hidden_norm")(x)))
        x = x + nn.Dense(self.width, name="out")(hidden)
        place = {task: i for i, task in enumerate(self.tasks)}
        return {task: (Modulate(name=f"modulate_{task}")(features[reads[task]], x[:, place[task]]),) for task in wanted}


def message(tasks: tuple[str, ...], /, *, width: int = 32, heads: int = 4) -> Message:
    """Message passing by task prompts, a small relative of InvPT (Ye and Xu, ECCV 2022) and TaskPrompter (ICLR 2023).

    Args:
        tasks: their names.
        width: of a token; a multiple of `heads`.
        heads: of the attention.
    """
    if heads < 1 or width < 1 or width % heads:
        raise ValueError(f"width must be a multiple of heads, got width={width} and heads={heads}")
    return Message(tasks, width, heads)
