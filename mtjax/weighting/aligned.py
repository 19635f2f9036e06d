"""Task gradients made orthogonal and equally long before they are added."""

from collections.abc import Mapping, Sequence
from typing import Literal

import jax.numpy as jnp

from mtjax.typing import Array, Bool, Float
from mtjax.weighting.base import Weighting
from mtjax.weighting.common import preferences
from mtjax.weighting.gram import from_gram, normalized, shares

ScaleMode = Literal["min", "median", "rmse"]


def aligned_mtl(
    names: tuple[str, ...], /, *, preference: Mapping[str, float] | Sequence[float] = (), scale_mode: ScaleMode = "min"
) -> Weighting:
    """Aligned-MTL: the gradients are replaced by the nearest system with condition number 1, then averaged.

    With `G = V Λ Vᵀ` and `B = √σ V Λ^(-1/2) Vᵀ` the rows of `B J` are orthogonal and of squared length `σ`; the weights
    are `Bᵀ p`. Eigenvalues below ten rounding errors of the largest are left out: dependent gradients span fewer
    directions. In float32 that cannot be told from a gradient a thousand times shorter than the longest one, which then
    has next to no say.

    Args:
        names: the tasks, in order.
        preference: `p`, by task name or one number per task; positive, normalized over the present tasks.
        scale_mode: `σ` is the smallest eigenvalue that counts ("min"), the lower median of them ("median"), or their
            mean ("rmse"). It changes the length of `d` alone.

    Raises:
        ValueError: an unknown scale_mode, or a preference that does not fit the tasks.

    Source: Senushkin, Patakin, Kuznetsov and Konushin, "Independent component alignment for multi-task learning", CVPR
    2023, equations 9 to 11. The authors' code sums the rows; their paper and this function weigh them by `p`.
    """
    if scale_mode not in ("min", "median", "rmse"):
        raise ValueError(f"scale_mode must be 'min', 'median' or 'rmse', got {scale_mode!r}")
    values = preferences(preference, names)

    def solve(gram: Float[Array, "T T"], present: Bool[Array, "T"]):
        gram, _ = normalized(gram, present)
        eigenvalues, vectors = jnp.linalg.eigh(gram)
        counts = eigenvalues > 10 * jnp.finfo(gram.dtype).eps * jnp.max(eigenvalues)
        rank = counts.sum()
        scale = {
            "min": jnp.where(counts, eigenvalues, jnp.inf).min(),
            "median": jnp.sort(jnp.where(counts, eigenvalues, jnp.inf))[jnp.maximum(rank - 1, 0) // 2],
            "rmse": jnp.where(counts, eigenvalues, 0).sum() / jnp.maximum(rank, 1),
        }[scale_mode]
        p = shares(values, present, gram.dtype)
        factors = jnp.where(counts, jnp.sqrt(scale / jnp.where(counts, eigenvalues, 1)), 0)
        # Gradients that are all zero may have any weights; the preference is what they would have if orthonormal.
        weights = jnp.where(rank > 0, vectors @ (jnp.where(rank > 0, factors, 1) * (vectors.T @ p)), p)
        return weights, jnp.ones((), bool)

    return from_gram(solve)
