"""One checkpoint on the disk: a folder that Orbax writes whole or not at all, and that is not believed unread.

Only the main process writes, and each process reads by itself; no function here waits for another process.
"""

import logging
import pathlib
import shutil
import sys
import warnings
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from mtjax.train.record import DamagedError, verify_arrays, verify_record

# What goes wrong inside Orbax is told by this module, in one line. Its log tells much more, and when one array cannot
# be read or written, the others fail unheard, or end after its event loop was closed, or never begin, each with a
# warning or a traceback.
logging.getLogger("absl").addFilter(lambda record: "orbax" not in record.pathname)
logging.getLogger("asyncio").addFilter(lambda record: not _of_a_reader(record.getMessage()))
warnings.filterwarnings("ignore", r"coroutine '\w+Handler\.\w+' was never awaited", RuntimeWarning)
_unraisable_hook = sys.unraisablehook


def _of_a_reader(message: str) -> bool:
    return "exception was never retrieved" in message and ("zarr" in message or "OCDBT" in message)


def _of_orbax(unraisable: Any) -> bool:
    coroutine = getattr(unraisable.object, "cr_code", None)
    return str(unraisable.exc_value) == "Event loop is closed" or "orbax" in getattr(coroutine, "co_filename", "")


sys.unraisablehook = lambda unraisable: None if _of_orbax(unraisable) else _unraisable_hook(unraisable)

_UNFINISHED = "orbax-checkpoint-tmp"  # in the name of a folder that Orbax has not renamed yet
_REMOVED = ".removed"


def one_line(error: BaseException) -> str:
    """What an error says, in at most 160 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."


def steps(directory: pathlib.Path) -> list[int]:
    """Steps that have a folder, newest first; what dead saves left has other names."""
    found = directory.iterdir() if directory.is_dir() else []
    return sorted((int(path.name) for path in found if path.name.isdigit() and path.is_dir()), reverse=True)


def is_leftover(path: pathlib.Path) -> bool:
    """Whether a process died while it wrote or removed this."""
    return _UNFINISHED in path.name or path.name.endswith(_REMOVED)


def prepare(directory: pathlib.Path) -> None:
    """Makes a folder for checkpoints, or removes the leftovers in it."""
    directory.mkdir(parents=True, exist_ok=True)
    for path in directory.iterdir():
        if is_leftover(path):
            shutil.rmtree(path)


def remove(path: pathlib.Path) -> None:
    """Removes a checkpoint; who dies on the way leaves a leftover, not a damaged checkpoint."""
    doomed = path.with_name(path.name + _REMOVED)
    path.rename(doomed)
    shutil.rmtree(doomed)


def _checkpointer() -> ocp.Checkpointer:
    own = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"mtjax{own}"
    )
    handler = ocp.CompositeCheckpointHandler(
        composite_options=ocp.CompositeOptions(multiprocessing_options=alone),
        arrays=ocp.StandardCheckpointHandler(multiprocessing_options=alone),
        record=ocp.JsonCheckpointHandler(multiprocessing_options=alone),
    )
    return ocp.Checkpointer(handler, multiprocessing_options=alone)


def write(path: pathlib.Path, arrays: Mapping[str, np.ndarray], record: Mapping[str, Any]) -> None:
    """Writes a checkpoint, in the place of what is there; raises whatever Orbax and TensorStore please."""
    if path.exists():
        remove(path)
    filled = {name: array for name, array in arrays.items() if array.size}  # Orbax refuses arrays without elements
    items = {"arrays": ocp.args.StandardSave(filled), "record": ocp.args.JsonSave(dict(record))}
    with _checkpointer() as checkpointer:
        checkpointer.save(path, args=ocp.args.Composite(**items))


def copy(path: pathlib.Path, to: pathlib.Path) -> None:
    """Copies a checkpoint, to the place of what is there; who dies on the way leaves a leftover."""
    if to.exists():
        remove(to)
    draft = to.with_name(f"{to.name}.{_UNFINISHED}")
    shutil.copytree(path, draft)
    draft.rename(to)


def _read(path: pathlib.Path, item: str, args: Any) -> Any:
    try:
        with _checkpointer() as checkpointer:
            return checkpointer.restore(path, args=ocp.args.Composite(**{item: args}))[item]
    except Exception as error:  # what a damaged file makes Orbax raise cannot be foreseen
        raise DamagedError(one_line(error)) from error


def read_record(path: pathlib.Path) -> dict[str, Any]:
    """The record of a checkpoint; raises DamagedError if it is not as it was written."""
    record = _read(path, "record", ocp.args.JsonRestore())
    verify_record(record)
    return record


def read_arrays(path: pathlib.Path, record: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays that a record describes; raises DamagedError if one is not as it was saved."""
    arrays = _read(path, "arrays", ocp.args.StandardRestore())
    for name, spec in record["leaves"].items():
        stored = spec["stored"]
        if 0 in stored["shape"]:
            arrays[name] = np.zeros(stored["shape"], stored["dtype"])
    verify_arrays(record, arrays)
    return arrays
