"""How tasks share the encoder: a module from the pyramid each task reads to the one its head gets."""

from mtjax.models.sharing.hard import hard

SHARINGS = {"hard": hard}

__all__ = ["SHARINGS", "hard"]
