"""Checkpoints that are whole or refused: Orbax writes and reads, a digest of every array says what may be used.

Orbax commits a checkpoint by one rename, so a killed run leaves all of it or a temporary folder. It does not notice a
byte that changed in an array file later, casts to another dtype without a word, and stops at the first bad step. So
each checkpoint carries a record: of every array its path, dtype, shape and SHA-256, the run's metadata, and the
SHA-256 of the record itself.

Two sets are kept below one folder: `latest`, the last few, from which a run resumes; `best`, the best by validation.

With many processes, which see one file system, the main one decides and writes whole arrays; every one reads them and
keeps its part. So a checkpoint fits any number of devices and processes.
"""

import functools
import json
import logging
import math
import pathlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal

import jax
import numpy as np

from mtjax.train import distributed, storage
from mtjax.train.record import DamagedError, difference, make_record, named_leaves, not_finite, to_device, to_host

_LOG = logging.getLogger("mtjax")
SETS = ("latest", "best")
# A save that failed is tried once more, after so many seconds, in which what it left running comes to its end. What
# passes by is not to end a run: a file server that was away, or a clock set anew, which Orbax takes for a time-out.
RETRY_S = 1.0


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written, or none of those there can be used; the message is one line."""


def _by_main(act: Callable[[], Any]) -> Any:
    """What `act` returns on the main process, as JSON can hold it, on every one; its CheckpointError is raised on all.

    To be called by every process, in the same order.
    """
    answer, failure = None, None
    if distributed.is_main():
        try:
            answer = act()
        except CheckpointError as error:
            failure = error
    text = np.frombuffer(json.dumps([answer, failure and str(failure)]).encode(), np.uint8)
    size = int(distributed.from_main(np.int32(text.size)))
    answer, message = json.loads(distributed.from_main(np.resize(text, size)).tobytes())
    if message is not None:
        raise failure or CheckpointError(message)
    return answer


class Checkpoints:
    """The checkpoints of one run: `latest` and `best` below `directory`.

    A reader makes and removes nothing, so it may look at a run that is still going. The first `save` makes the folders
    and removes what dead saves left. What goes wrong in the background is raised by the next `save`, `wait` or `close`,
    which every process must call together.

    Args:
        directory: where they are, or will be.
        keep: how many of the latest to keep.
        metadata: what else must be equal for a checkpoint to fit (the tasks, say); anything that JSON can hold.
    """

    def __init__(self, directory: pathlib.Path | str, keep: int = 2, metadata: Mapping[str, Any] | None = None):
        if keep < 1:
            raise ValueError(f"keep must be at least 1, got {keep}")
        self.directory = pathlib.Path(directory).absolute()
        self._keep = keep
        self._metadata = json.loads(json.dumps(dict(metadata or {})))
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future | None = None
        self._opened = False
        self._known_good: dict[str, int] = {}  # the newest step of each set that this process wrote or verified
        self._best_score: float | None = None

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:  # perhaps of this process alone: the last save may end, but the others are not to be waited for
            self._worker.shutdown()

    @property
    def failed(self) -> bool:
        """Whether the last save is known to have failed on this process; the next `save` raises it on all."""
        return self._pending is not None and self._pending.done() and self._pending.exception() is not None

    def latest_step(self, which: Literal["latest", "best"] = "latest") -> int | None:
        """The newest step of a set ("latest" or "best"), not yet verified; None if it is empty."""
        return next(iter(storage.steps(self.directory / which)), None)

    def save(self, step: int, state: Any, score: float | None = None) -> None:
        """Saves the state in the background, after it was copied from the device: it may then be donated.

        A state that is not finite is refused: it shall not push out one that is.

        Args:
            step: its number; one that is there already is not saved again, and newer ones are removed: a run that had
                to resume from an older checkpoint replaces them.
            state: a pytree of arrays, typed PRNG keys among them, on any devices.
            score: the validation score, higher being better. The best one so far is also kept as `best`.

        Raises:
            CheckpointError: the save before this one failed, or no checkpoint can be written here.
        """
        self.wait()
        leaves = named_leaves(state)
        if sets := _by_main(lambda: self._sets(step, leaves, score)):
            arrays, specs = to_host(leaves)
            if distributed.is_main():
                self._pending = self._worker.submit(self._write, step, arrays, specs, score, sets)

    def restore(self, template: Any, which: Literal["latest", "best"] = "latest") -> tuple[Any, int] | None:
        """The newest good checkpoint as (state, step), or None if there has never been one.

        A damaged one is named in a warning of the logger "mtjax" and the next older one is used, of either set.

        Args:
            template: a state, or its `jax.eval_shape`, with the tree, shapes and dtypes that are wanted. An array with
                a `NamedSharding` is restored to its devices, each getting its part alone.
            which: "latest", or "best" for the best by validation, or the latest where none was validated.

        Raises:
            CheckpointError: all are damaged, the newest good one is not of this run, or there is something else.
        """
        self.wait()
        wanted = named_leaves(template)
        found = _by_main(lambda: self._candidates(which))
        for name, step in found:
            path, record, arrays, problem = self.directory / name / str(step), {}, {}, None
            try:
                record, arrays = self._read(path, wanted)
            except DamagedError as error:
                problem = error
            if distributed.on_any(problem is not None):
                reason = problem or "another process cannot read it"
                _LOG.warning("checkpoint of step %d is damaged and not used: %s: %s", step, path, reason)
                continue
            self._known_good[name] = step
            leaves = [to_device(arrays[leaf], record["leaves"][leaf], like) for leaf, like in wanted.items()]
            return jax.tree.unflatten(jax.tree.structure(template), leaves), step
        if found:
            raise CheckpointError(f"all {len(found)} checkpoints below {self.directory} are damaged, none can be used")
        return None

    def wait(self) -> None:
        """Returns when the last save is committed; raises CheckpointError if it failed."""

        def result() -> None:
            pending, self._pending = self._pending, None
            if pending is not None:
                pending.result()

        _by_main(result)

    def close(self) -> None:
        """Waits for the last save and lets go of the thread."""
        try:
            self.wait()
        finally:
            self._worker.shutdown()

    def _candidates(self, which: str) -> list[tuple[str, int]]:
        """Set and step of what may be restored, the first choice first."""
        order = {"latest": ("latest", "best"), "best": ("best", "latest")}[which]
        found = [(name, step) for name in order for step in storage.steps(self.directory / name)]
        if not found:
            self._refuse_strangers()
        return sorted(found, key=lambda item: -item[1]) if which == "latest" else found

    def _refuse_strangers(self) -> None:
        """Starting anew beside what may be somebody's training, only stored otherwise, would be no good surprise."""
        try:
            there = [path for path in self.directory.iterdir() if path.name not in SETS]
            inside = [
                path for name in SETS if (self.directory / name).exists() for path in (self.directory / name).iterdir()
            ]
        except FileNotFoundError:
            return
        except OSError as error:
            raise CheckpointError(f"cannot read checkpoints: {storage.one_line(error)}") from error
        if strangers := sorted(str(path) for path in there + inside if not storage.is_leftover(path)):
            raise CheckpointError(f"{strangers[0]} is no checkpoint of mtjax, and there is none in {self.directory}")

    def _sets(self, step: int, leaves: Mapping[str, Any], score: float | None) -> list[str]:
        """The sets that a state is to be saved in."""
        if not self._opened:
            self._open(leaves)
        sets = ["latest"]
        if score is not None and math.isfinite(score) and (self._best_score is None or score > self._best_score):
            # In this order: a run that was killed in between resumes before this step, and evaluates it again.
            sets, self._best_score = ["best", "latest"], score
        return [which for which in sets if self._known_good.get(which) != step]

    def _open(self, leaves: Mapping[str, Any]) -> None:
        try:
            for name in SETS:
                storage.prepare(self.directory / name)
        except OSError as error:
            raise CheckpointError(f"cannot write checkpoints to {self.directory}: {storage.one_line(error)}") from error
        self._opened = True
        for step in storage.steps(self.directory / "best"):
            try:
                record = self._read(self.directory / "best" / str(step), leaves)[0]
            except DamagedError as error:
                _LOG.warning("best checkpoint, of step %d, is damaged and will be replaced: %s", step, error)
            else:
                self._best_score = record["score"]
                self._known_good["best"] = step
                break

    def _write(
        self, step: int, arrays: dict[str, np.ndarray], specs: dict[str, Any], score: float | None, sets: list[str]
    ) -> None:
        if name := not_finite(arrays):
            raise CheckpointError(f"the state of step {step} was not saved: {name} is not finite; {self._standing()}")
        record = make_record(arrays, specs, step, score, self._metadata)
        self._commit(sets[0], step, lambda path: storage.write(path, arrays, record))
        for which in sets[1:]:  # Orbax takes much longer than to copy what it wrote
            self._commit(which, step, functools.partial(storage.copy, self.directory / sets[0] / str(step)))

    def _commit(self, which: str, step: int, write: Callable[[pathlib.Path], None]) -> None:
        place = self.directory / which
        for pause in (0.0, RETRY_S):
            time.sleep(pause)
            try:
                storage.prepare(place)
                write(place / str(step))
                self._prune(place, self._keep if which == "latest" else 1, step)
                self._known_good[which] = step
                return
            except Exception as error:  # Orbax and TensorStore raise whatever they please
                if pause:
                    message = f"could not save step {step} to {place}: {storage.one_line(error)}"
                    raise CheckpointError(f"{message}; {self._standing()}") from error

    def _standing(self) -> str:
        step = self.latest_step()
        return "there is no checkpoint yet" if step is None else f"the last good checkpoint is that of step {step}"

    @staticmethod
    def _prune(place: pathlib.Path, keep: int, saved: int) -> None:
        older = [step for step in storage.steps(place) if step < saved]
        newer = [step for step in storage.steps(place) if step > saved]
        for step in newer + older[keep - 1 :]:
            storage.remove(place / str(step))

    def _read(self, path: pathlib.Path, wanted: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The record and the arrays of a checkpoint, if it is good and of this run."""
        record = storage.read_record(path)
        if differs := difference(record, wanted, self._metadata):
            raise CheckpointError(f"checkpoint {path} is of another run: {differs}")
        return record, storage.read_arrays(path, record)
