"""Color constancy without learning: the world is gray on average."""

from typing import Any

import jax.numpy as jnp

from mtjax.physics.operator import Operator
from mtjax.solvers.solution import Solution, Status, as_images, finish, image_like
from mtjax.typing import Array, Float, ScalarLike


def gray_world(y: Any, operator: Operator, mean: ScalarLike | Float[Array, "..."] = 0.45) -> Solution:
    """Each channel of each image scaled so that its mean is `mean`: white balance and exposure at once.

    The assumption of Buchsbaum, "A spatial processor model for object colour perception", 1980. A channel that is 0
    everywhere stays so. Of the operator it knows only that `y` is an image; saturation and tone curves stay.
    `residual` is 0.

    Raises:
        ValueError: an observation that has not the image's shape.
    """
    y, plain = as_images(y)
    if image_like(y, operator).shape != y.shape:
        name = type(operator).__name__
        raise ValueError(f"solver 'gray_world' is for observations of the image's shape, not {name}; try 'bicubic'")
    means = y.mean((-3, -2), keepdims=True)
    image = y * jnp.where(means > 0, jnp.asarray(mean, y.dtype) / jnp.where(means > 0, means, 1), 1)
    return finish(image, plain, Status.CONVERGED, 0, jnp.zeros((), y.dtype))
