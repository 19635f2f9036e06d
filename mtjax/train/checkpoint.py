"""Checkpoints that are whole or refused: Orbax writes and reads, a digest of every array says what may be used.

Orbax commits a checkpoint by one rename, so a killed run leaves all of it or a temporary folder. It does not notice a
byte that changed in an array file later, casts to another dtype without a word, and stops at the first bad step. So
each checkpoint carries a record: of every array its path, dtype, shape and SHA-256, the run's metadata, and the
SHA-256 of the record itself.

Two sets are kept below one folder: `latest`, the last few, from which a run resumes; `best`, the best by validation.
"""

import json
import logging
import math
import pathlib
import sys
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal

import jax
import numpy as np
import orbax.checkpoint as ocp

from mtjax.train.record import (
    DamagedError,
    difference,
    make_record,
    named_leaves,
    to_device,
    to_host,
    verify_arrays,
    verify_record,
)

_LOG = logging.getLogger("mtjax")

# What goes wrong inside Orbax is told here, in one line. Its log tells much more, and when one array cannot be read,
# the reads of the others fail unheard or end after its event loop was closed, each with a traceback.
logging.getLogger("absl").addFilter(lambda record: "orbax" not in record.pathname)
logging.getLogger("asyncio").addFilter(
    lambda record: not ("exception was never retrieved" in record.getMessage() and "zarr" in record.getMessage())
)
_unraisable_hook = sys.unraisablehook
sys.unraisablehook = lambda unraisable: (
    None if str(unraisable.exc_value) == "Event loop is closed" else _unraisable_hook(unraisable)
)


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written, or none of those there can be used; the message is one line."""


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."


def _steps(directory: pathlib.Path) -> list[int]:
    """Steps that have a folder, newest first; folders of unfinished saves have other names."""
    found = directory.iterdir() if directory.is_dir() else []
    return sorted((int(path.name) for path in found if path.name.isdigit() and path.is_dir()), reverse=True)


def _manager(directory: pathlib.Path, read_only: bool) -> ocp.CheckpointManager:
    # Saves are made from a thread of our own, after hashing, and only this module decides what is kept.
    options = ocp.CheckpointManagerOptions(
        read_only=read_only, cleanup_tmp_directories=not read_only, enable_async_checkpointing=False
    )
    return ocp.CheckpointManager(directory, options=options)


class Checkpoints:
    """The checkpoints of one run: `latest` and `best` below `directory`.

    A reader makes and removes nothing, so it may look at a run that is still going. The first `save` makes the folders
    and removes what dead saves left. What goes wrong in the background is raised by the next `save`, `wait` or `close`.

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
        self._managers: dict[str, ocp.CheckpointManager] = {}
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future | None = None
        self._known_good: dict[str, int] = {}  # the newest step of each set that this process wrote or verified
        self._best_score: float | None = None

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def latest_step(self, which: Literal["latest", "best"] = "latest") -> int | None:
        """The newest step of a set ("latest" or "best"), not yet verified; None if it is empty."""
        return next(iter(_steps(self.directory / which)), None)

    def save(self, step: int, state: Any, score: float | None = None) -> None:
        """Saves the state in the background, after it was copied from the device: it may then be donated.

        Args:
            step: its number; one that is there already is not saved again, and newer ones are removed: a run that had
                to resume from an older checkpoint replaces them.
            state: a pytree of arrays, typed PRNG keys among them.
            score: the validation score, higher being better. The best one so far is also kept as `best`.
        """
        self.wait()
        if not self._managers:
            self._open()
        sets = ["latest"]
        if score is not None and math.isfinite(score) and (self._best_score is None or score > self._best_score):
            # In this order: a run that was killed in between resumes before this step, and evaluates it again.
            sets, self._best_score = ["best", "latest"], score
        if sets := [which for which in sets if self._known_good.get(which) != step]:
            arrays, specs = to_host(named_leaves(state))
            self._pending = self._worker.submit(self._write, step, arrays, specs, score, sets)

    def restore(self, template: Any, which: Literal["latest", "best"] = "latest") -> tuple[Any, int] | None:
        """The newest good checkpoint as (state, step), or None if there has never been one.

        A damaged one is named in a warning of the logger "mtjax" and the next older one is used, of either set.

        Args:
            template: a state, or its `jax.eval_shape`, with the tree, shapes and dtypes that are wanted.
            which: "latest", or "best" for the best by validation, or the latest where none was validated.

        Raises:
            CheckpointError: all are damaged, or the newest good one is not of this run.
        """
        self.wait()
        sets = {"latest": ("latest", "best"), "best": ("best", "latest")}[which]
        found = [(name, step) for name in sets for step in _steps(self.directory / name)]
        if which == "latest":
            found.sort(key=lambda item: -item[1])
        for name, step in found:
            path = self.directory / name / str(step)
            try:
                state = self._read(name, step, template)
            except DamagedError as error:
                _LOG.warning("checkpoint of step %d is damaged and not used: %s: %s", step, path, error)
                continue
            self._known_good[name] = step
            return state, step
        if found:
            raise CheckpointError(f"all {len(found)} checkpoints below {self.directory} are damaged, none can be used")
        return None

    def wait(self) -> None:
        """Returns when the last save is committed; raises CheckpointError if it failed."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def close(self) -> None:
        """Waits for the last save and lets go of the thread and the folders."""
        try:
            self.wait()
        finally:
            self._worker.shutdown()
            for manager in self._managers.values():
                manager.close()

    def _open(self) -> None:
        try:
            self._managers = {name: _manager(self.directory / name, read_only=False) for name in ("latest", "best")}
        except OSError as error:
            raise CheckpointError(f"cannot write checkpoints to {self.directory}: {_one_line(error)}") from error
        for step in _steps(self.directory / "best"):
            try:
                record = self._verified(self._managers["best"], step)[0]
            except DamagedError as error:
                _LOG.warning("best checkpoint, of step %d, is damaged and will be replaced: %s", step, error)
            else:
                self._best_score = record["score"]
                self._known_good["best"] = step
                break

    def _write(
        self, step: int, arrays: dict[str, np.ndarray], specs: dict[str, Any], score: float | None, sets: list[str]
    ) -> None:
        record = make_record(arrays, specs, step, score, self._metadata)
        filled = {name: array for name, array in arrays.items() if array.size}  # Orbax refuses arrays without elements
        for which in sets:
            manager = self._managers[which]
            try:
                if step in _steps(self.directory / which):  # damaged, or of a run that this one replaces
                    manager.delete(step)
                items = {"arrays": ocp.args.StandardSave(filled), "record": ocp.args.JsonSave(record)}
                manager.save(step, args=ocp.args.Composite(**items), force=True)
                self._prune(which, step)
            except Exception as error:  # Orbax and TensorStore raise whatever they please
                place = self.directory / which
                raise CheckpointError(f"could not save step {step} to {place}: {_one_line(error)}") from error
            self._known_good[which] = step

    def _prune(self, which: str, saved: int) -> None:
        keep = self._keep if which == "latest" else 1
        older = [step for step in _steps(self.directory / which) if step < saved]
        newer = [step for step in _steps(self.directory / which) if step > saved]
        for step in newer + older[keep - 1 :]:
            self._managers[which].delete(step)

    def _verified(self, manager: ocp.CheckpointManager, step: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        try:
            record = manager.restore(step, args=ocp.args.Composite(record=ocp.args.JsonRestore()))["record"]
            verify_record(record)
            arrays = manager.restore(step, args=ocp.args.Composite(arrays=ocp.args.StandardRestore()))["arrays"]
        except DamagedError:
            raise
        except Exception as error:  # what a damaged file makes Orbax raise cannot be foreseen
            raise DamagedError(_one_line(error)) from error
        for name, spec in record["leaves"].items():
            stored = spec["stored"]
            if 0 in stored["shape"]:
                arrays[name] = np.zeros(stored["shape"], stored["dtype"])
        verify_arrays(record, arrays)
        return record, arrays

    def _read(self, which: str, step: int, template: Any) -> Any:
        path = self.directory / which / str(step)
        wanted = named_leaves(template)
        manager = _manager(self.directory / which, read_only=True)
        try:
            record, arrays = self._verified(manager, step)
        finally:
            manager.close()
        if differs := difference(record, wanted, self._metadata):
            raise CheckpointError(f"checkpoint {path} is of another run: {differs}")
        leaves = [to_device(arrays[name], record["leaves"][name]) for name in wanted]
        return jax.tree.unflatten(jax.tree.structure(template), leaves)
