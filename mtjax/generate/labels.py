"""Which classes are asked for."""

from collections.abc import Mapping

import jax.numpy as jnp

from mtjax.data.fields import SourceInfo
from mtjax.registry import lookup
from mtjax.typing import Array, Int


def class_counts(info: SourceInfo, given: tuple[str, ...]) -> dict[str, int]:
    """By given field, the number of its classes; ValueError, with the nearest field, for one that holds none."""
    return {field: len(lookup(info.class_names, field, "given")) for field in given}


def in_turn(count: int, classes: Mapping[str, int]) -> dict[str, Int[Array, "N"]]:
    """Labels for `count` images in which every class comes about as often: in blocks in the first field.

    In each further field they come in turn, faster than in the one before, so that classes of two fields meet.
    """
    number = jnp.arange(count)
    return {field: (number * size // count + i * number) % size for i, (field, size) in enumerate(classes.items())}
