"""How T task losses become one update.

What holds for every method is decided here and in `mtjax.train`, once:

- `Lᵢ` is the mean over the task's valid examples of the global batch. A task without any has weight 0 and is taken out
  of the method's own problem; it does not count as a loss or a gradient of 0.
- Methods that read losses only minimize `Σᵢ wᵢ Lᵢ` with the weights held constant: what is shared receives
  `Σᵢ wᵢ ∇Lᵢ`, each head `wᵢ ∇Lᵢ`. The weights are those that the method publishes: `equal` is the mean, `fixed` what
  was asked for, `uncertainty` is `½ exp(-sᵢ)`.
- Methods that read gradients decide about what is shared alone: each head receives the plain `∇Lᵢ`. Published
  directions differ in length by a factor of T or more, so training divides each by `Σᵢ |wᵢ|`: it is then as long as
  `equal`'s, and a learning rate means the same for all. A single present task thus trains as if it were alone.
- `combine` gives a method's published direction, not divided by anything.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from mtjax.registry import lookup
from mtjax.typing import Array, Float, PRNGKeyArray
from mtjax.weighting.aligned import aligned_mtl
from mtjax.weighting.bargaining import fairgrad, nash_mtl
from mtjax.weighting.base import Signals, Weighting, weighted_sum
from mtjax.weighting.buffers import db_mtl, excess_mtl, moco
from mtjax.weighting.cagrad import cagrad
from mtjax.weighting.conflict_free import conflict_free, imtl_g
from mtjax.weighting.conic import dualproj, upgrad
from mtjax.weighting.constant import equal, fixed
from mtjax.weighting.famo import famo
from mtjax.weighting.graddrop import graddrop
from mtjax.weighting.gradnorm import gradnorm
from mtjax.weighting.learned import imtl_l, uncertainty
from mtjax.weighting.logarithmic import geometric, log, stch
from mtjax.weighting.mgda import mgda
from mtjax.weighting.rates import dwa, rlw
from mtjax.weighting.surgery import gradvac, pcgrad
from mtjax.weighting.two_batches import auto_lambda, modo, sdmgrad
from mtjax.weighting.wrappers import preferred, smoothed

WEIGHTINGS = {
    "fixed": fixed,
    "equal": equal,
    "uncertainty": uncertainty,
    "log": log,
    "geometric": geometric,
    "dwa": dwa,
    "rlw": rlw,
    "imtl_l": imtl_l,
    "stch": stch,
    "famo": famo,
    "gradnorm": gradnorm,
    "mgda": mgda,
    "pcgrad": pcgrad,
    "gradvac": gradvac,
    "cagrad": cagrad,
    "imtl_g": imtl_g,
    "nash_mtl": nash_mtl,
    "fairgrad": fairgrad,
    "aligned_mtl": aligned_mtl,
    "upgrad": upgrad,
    "dualproj": dualproj,
    "conflict_free": conflict_free,
    "graddrop": graddrop,
    "excess_mtl": excess_mtl,
    "moco": moco,
    "db_mtl": db_mtl,
    "modo": modo,
    "sdmgrad": sdmgrad,
    "auto_lambda": auto_lambda,
}


def make(kind: str, num_tasks: int | None = None, *, names: Sequence[str] = (), **params: Any) -> Weighting:
    """The weighting called `kind` for `num_tasks` tasks, or for the named ones.

    Raises:
        ValueError: an unknown kind or parameter, or neither a number of tasks nor names.
    """
    names = tuple(names) or tuple(str(i) for i in range(num_tasks or 0))
    if not names or (num_tasks is not None and num_tasks != len(names)):
        raise ValueError(f"a weighting needs at least one task, got num_tasks={num_tasks} and names={names}")
    return lookup(WEIGHTINGS, kind, "weighting.kind")(names, **params)


def combine(
    kind: str,
    jacobian: Float[Array, "T P"],
    *,
    losses: Float[Array, "T"] | None = None,
    second: Float[Array, "T P"] | None = None,
    key: PRNGKeyArray | None = None,
    **params: Any,
) -> Float[Array, "P"]:
    """The direction that a method makes of the task gradients: applied once, from its initial state, all tasks present.

    Args:
        kind: name of the method.
        jacobian: one gradient per row.
        losses: the task losses, for methods that read them; 1 for every task if not given.
        second: the gradients on a second batch, for methods that want two; `jacobian` again if not given.
        key: for methods that draw something; that of seed 0 if not given.
        **params: the method's parameters.
    """
    num_tasks = jacobian.shape[0]
    weighting = make(kind, num_tasks, **params)
    signals = Signals(
        losses=jnp.ones(num_tasks, jacobian.dtype) if losses is None else losses,
        present=jnp.ones(num_tasks, bool),
        gram=jacobian @ jacobian.T,
        cross=jacobian @ (jacobian if second is None else second).T,
        gradients=jacobian,
        key=jax.random.key(0) if key is None else key,
    )
    weights, state = weighting.update(signals, weighting.init(jacobian))
    weights = weights.astype(jacobian.dtype)
    if weighting.direction is not None:
        return weighting.direction(jacobian, weights, state)
    return weighted_sum(jacobian, weights)


__all__ = ["WEIGHTINGS", "Signals", "Weighting", "combine", "make", "preferred", "smoothed", "weighted_sum"]
