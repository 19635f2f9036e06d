"""The shapes that appear in signatures all over mtjax. `*b` are batch axes: any number of them, also none."""

from typing import Any, TypeAlias

from jaxtyping import Array, ArrayLike, Bool, Float, Inexact, Int, Key, PRNGKeyArray, Shaped

# Linear images live in [0, 1], channels last; complex where the physics is.
Image: TypeAlias = Inexact[Array, "*b H W C"]
PerExample: TypeAlias = Float[Array, "B"]
Scalar: TypeAlias = Float[Array, ""]
ScalarLike: TypeAlias = float | int | Float[ArrayLike, "..."]
Keys: TypeAlias = Key[Array, "B"]
Batch: TypeAlias = dict[str, Any]
Params: TypeAlias = Any

__all__ = [
    "Array", "ArrayLike", "Batch", "Bool", "Float", "Image", "Inexact", "Int", "Key", "Keys", "PRNGKeyArray", "Params",
    "PerExample", "Scalar", "ScalarLike", "Shaped",
]  # fmt: skip
