"""Keeps decoded examples in memory, so that a small data set is decoded once and not once per epoch."""

import threading
from collections.abc import Callable

import numpy as np


class Memory:
    """Remembers what `load(i)` gave until `limit` bytes are full; what came first stays. Safe in many threads."""

    def __init__(self, limit: int):
        self._free = limit
        self._kept: dict[int, dict[str, np.ndarray]] = {}
        self._lock = threading.Lock()

    def get(self, index: int, load: Callable[[int], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """What `load(index)` gives, kept for the next time while there is room. Callers must not write into it."""
        kept = self._kept.get(index)
        if kept is not None:
            return kept
        loaded = load(index)
        with self._lock:
            size = sum(array.nbytes for array in loaded.values())
            if index not in self._kept and size <= self._free:
                self._kept[index] = loaded
                self._free -= size
        return loaded
