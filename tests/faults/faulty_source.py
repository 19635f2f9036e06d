"""digit_scenes with something wrong, as the environment variable MTJAX_TEST_FAULT says; without it, with nothing."""

import ctypes
import itertools
import os
import time

from mtjax.data.fields import Source
from mtjax.data.sources.digit_scenes import digit_scenes

HUNG, YEAR = 1000.0, 365.25 * 86400  # seconds
TIME = time.time


def faulty(
    split: str,
    /,
    *,
    size: int = 16,
    train: int = 40,
    validation: int = 6,
    test: int = 6,
    data_dir: str | None = None,
) -> Source:
    """The source: `hang@i` and `hold@i`: example i of training never comes, `hold` with Python's lock held;
    `slow:SPLIT`: each example of a split takes a second; `nan@i`: example i has NaN in a label; `nan`: all have;
    `broken@i`: example i cannot be read; `clock`: every so often the time of day jumps by a year, forth and back."""
    fault, _, place = os.environ.get("MTJAX_TEST_FAULT", "").partition("@")
    source = digit_scenes(split, size=size, train=train, validation=validation, test=test, data_dir=data_dir)
    if fault == "clock" and time.time is TIME:
        readings = itertools.count()
        time.time = lambda: TIME() + YEAR * (next(readings) // 40 % 2)
    return _Faulty(source, split, fault, place)


class _Faulty(Source):
    def __init__(self, source: Source, split: str, fault: str, place: str):
        self._source, self._training, self._slow = source, split == "train", fault == f"slow:{split}"
        self._fault, self._place = fault, int(place) if place else None
        self.info = source.info

    def __len__(self):
        return len(self._source)

    def __getitem__(self, index):
        if self._slow:
            time.sleep(1)
        return self._source[index]

    def sample(self, index, rng):
        example = self._source.sample(index, rng)
        if self._place not in (None, index):
            return example
        if self._fault == "hang":
            time.sleep(HUNG)
        if self._fault == "hold":
            ctypes.PyDLL(None).sleep(int(HUNG))  # a foreign function that keeps the lock
        if self._fault == "broken":
            raise ValueError(f"digit_scenes train: cannot read example {index}: it is broken")
        if self._fault == "nan":
            return {**example, "boundary": example["boundary"] * float("nan")}
        return example
