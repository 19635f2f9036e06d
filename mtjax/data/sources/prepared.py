"""Opens TFDS data sets without TensorFlow, and prepares them once, however many processes ask at the same time."""

import contextlib
import io
import json
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from PIL import EpsImagePlugin

from mtjax.registry import one_line


def default_data_dir() -> pathlib.Path:
    """Where mtjax keeps the data that it makes itself: `$MTJAX_DATA`, or `~/.cache/mtjax`."""
    return pathlib.Path(os.environ.get("MTJAX_DATA") or pathlib.Path.home() / ".cache" / "mtjax").expanduser()


def open_split(make: Callable[[], Any], split: str, repair: bool = False) -> Sequence[Any]:
    """The examples of one split of the TFDS builder that `make` gives, prepared first if they are not there yet.

    Safe to call from several processes at once: one prepares, the others wait for it; one line tells of it. With
    `repair`, for data that mtjax made itself, a damaged copy is thrown away and made anew; otherwise it is an error.
    """
    builder = make()
    if _is_prepared(builder) and not (repair and _damage(builder, split)):
        return _read(builder, split)
    root = pathlib.Path(builder.data_path)
    root.parent.mkdir(parents=True, exist_ok=True)
    with _lock(root.parent / f".{root.name}.lock"):
        # A builder remembers what it found on disk when it was made, so each look at the disk takes a new one.
        damage = root.exists() and repair and _damage(make(), split)
        if damage:
            print(f"{root} is damaged ({damage}); preparing it again", file=sys.stderr, flush=True)
            shutil.rmtree(root)
        for leftover in root.parent.glob(f"incomplete.*_{root.name}"):  # of a process that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        builder = make()
        if not _is_prepared(builder):
            _prepare(builder)
        return _read(builder, split)


def refuse_harm(place: pathlib.Path) -> None:
    """Raises ValueError if the description of a data set that lies below `place` reaches out of it.

    TFDS imports the modules of the features that features.json names, and reads the files that dataset_info.json
    names, wherever they are.
    """
    for file in place.rglob("*.json") if place.is_dir() else ():
        if file.name in ("features.json", "dataset_info.json"):
            for key, value in _texts(json.loads(file.read_text(encoding="utf-8"))):
                module = value.rpartition(".")[0]
                known = value.startswith("tensorflow_datasets.") or module in sys.modules
                if key in ("pythonClassName", "python_class_name", "type") and module and not known:
                    raise ValueError(f"{file} would import {module!r}")
                if key in ("filepathTemplate", "filepath_template") and (
                    value == ".." or pathlib.PurePath(value).name != value
                ):
                    raise ValueError(f"{file} names files outside its folder: {value!r}")


def _texts(value: Any) -> Iterator[tuple[str, str]]:
    """Every key of nested JSON that has a text, and that text."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(item, str):
            yield str(key), item
        elif isinstance(item, dict | list):
            yield from _texts(item)


def _is_prepared(builder: Any) -> bool:
    return pathlib.Path(builder.data_path).joinpath("dataset_info.json").is_file()


def _damage(builder: Any, split: str) -> str:
    """Why the files of a prepared data set cannot be used; nothing if they can."""
    try:
        _read(builder, split)
    except Exception as error:  # the readers of JSON, protocol buffers and records raise all sorts of things
        return one_line(error)
    return ""


def _read(builder: Any, split: str) -> Sequence[Any]:
    """Opens a split and reads its last example, which a truncated file does not have."""
    if not _is_prepared(builder):
        raise FileNotFoundError("dataset_info.json is missing")
    EpsImagePlugin.gs_binary = False  # TFDS lets Pillow decode whatever there is, for which it may start Ghostscript
    source = builder.as_data_source(split=split)
    if len(source):
        source[len(source) - 1]
    return source


def _prepare(builder: Any) -> None:
    """Makes the data set in array_record format, with one line of progress instead of TFDS's many."""
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    print(f"Preparing {builder.info.full_name} in {builder.data_path} ...", end="", file=sys.stderr, flush=True)
    start = time.monotonic()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare(file_format="array_record")
    except BaseException:
        print(" failed", file=sys.stderr, flush=True)
        raise
    count = sum(split.num_examples for split in builder.info.splits.values())
    print(f" {count} examples in {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _lock(path: pathlib.Path) -> Iterator[None]:
    """Holds an exclusive lock on a file; the system lets go of it when the process ends, however it ends."""
    import fcntl

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps TFDS from warning about what is meant, such as a configuration that its class does not list."""
    from absl import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)
