"""Reads examples by number, keeps them in memory while there is room, and says which ones cannot be read."""

import logging
import threading
from collections.abc import Callable
from typing import Literal

import numpy as np

from mtjax.data.fields import Example
from mtjax.registry import one_line, printable

log = logging.getLogger(__name__)
OnError = Literal["raise", "skip"]


class Reader:
    """`load(i)` for i in 0 ... count - 1, decoded once per run where memory allows; safe to use from many threads.

    An example that cannot be read is named with the data set, the split, its number and the reason. With `on_error`
    "raise" that is a ValueError; with "skip" it is a line in the log, once, and an entry of `skipped`.
    """

    def __init__(
        self,
        load: Callable[[int], Example],
        count: int,
        title: str,
        on_error: OnError = "raise",
        memory: int = 1024,
        where: Callable[[int], str] = lambda index: "",
    ):
        """`title` is the data set and its split, `memory` in MiB, `where(i)` the file of example i, for messages."""
        self.load, self.count, self.skipped = load, count, {}
        self._title, self._on_error, self._where = title, on_error, where
        self._free = memory << 20
        self._kept: dict[int, Example] = {}
        self._lock = threading.Lock()

    def get(self, index: int) -> Example | None:
        """Example `index`, not to be written into; None if it is to be skipped."""
        if index in self.skipped:
            return None
        if (kept := self._kept.get(index)) is not None:
            return kept
        try:
            example = self.load(index)
        except Exception as error:  # decoders raise all sorts of things
            place = printable(self._where(index))
            message = f"{self._title}: cannot read example {index}{f', {place}' if place else ''}: {one_line(error)}"
            if self._on_error == "raise":
                raise ValueError(message) from error
            self._skip(index, message)
            return None
        self._keep(index, example)
        return example

    def get_or_next(self, index: int) -> Example:
        """Example `index`, or the next one that can be read; ValueError if there is none."""
        for step in range(self.count):
            example = self.get((index + step) % self.count)
            if example is not None:
                return example
        raise ValueError(f"{self._title}: none of the {self.count} examples can be read")

    def _skip(self, index: int, message: str) -> None:
        with self._lock:
            if index not in self.skipped:
                self.skipped[index] = message
                log.warning("%s (skipped, %d so far)", message, len(self.skipped))

    def _keep(self, index: int, example: Example) -> None:
        size = sum(np.asarray(value).nbytes for value in example.values())
        with self._lock:
            if index not in self._kept and size <= self._free:
                self._kept[index] = example
                self._free -= size
