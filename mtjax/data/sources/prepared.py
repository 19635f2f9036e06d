"""Opens TFDS data sets without TensorFlow, and prepares them once, however many processes ask at the same time."""

import contextlib
import io
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any


def default_data_dir() -> pathlib.Path:
    """Where mtjax keeps the data that it makes itself: `$MTJAX_DATA`, or `~/.cache/mtjax`."""
    return pathlib.Path(os.environ.get("MTJAX_DATA") or pathlib.Path.home() / ".cache" / "mtjax").expanduser()


def open_split(builder: Any, split: str) -> Sequence[Any]:
    """The examples of one split of a TFDS builder, made first if need be; a damaged copy is thrown away and made anew.

    Safe to call from several processes at once: one prepares, the others wait for it. Prints one line when it prepares.
    """
    with contextlib.suppress(Exception):  # not there yet, or damaged: either way it is looked at again under the lock
        return _read(builder, split)
    root = pathlib.Path(builder.data_path)
    root.parent.mkdir(parents=True, exist_ok=True)
    with _lock(root.parent / f".{root.name}.lock"):
        try:
            return _read(builder, split)
        except Exception as problem:
            damaged = problem if root.exists() else None
        if damaged is not None:
            print(f"{root} is damaged ({_line(damaged)}); preparing it again", file=sys.stderr, flush=True)
            shutil.rmtree(root)
        for leftover in root.parent.glob(f"incomplete.*_{root.name}"):
            shutil.rmtree(leftover, ignore_errors=True)
        _prepare(builder)
        return _read(builder, split)


def _read(builder: Any, split: str) -> Sequence[Any]:
    """Opens a split and checks that its files hold as many examples as they should."""
    if not pathlib.Path(builder.data_path).joinpath("dataset_info.json").is_file():
        raise FileNotFoundError(f"no dataset_info.json in {builder.data_path}")
    builder.info.read_from_directory(str(builder.data_path))
    if split.partition("[")[0] not in builder.info.splits:
        raise ValueError(f"{builder.name} has no split {split!r}; it has {', '.join(builder.info.splits)}")
    source = builder.as_data_source(split=split)
    source[len(source) - 1]
    return source


def _prepare(builder: Any) -> None:
    """Makes the data set in array_record format, with one line of progress instead of TFDS's many."""
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    print(f"Preparing {builder.info.full_name} in {builder.data_path} ...", end="", file=sys.stderr, flush=True)
    start = time.monotonic()
    with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare(file_format="array_record")
    count = sum(split.num_examples for split in builder.info.splits.values())
    print(f" {count} examples in {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _lock(path: pathlib.Path) -> Iterator[None]:
    """Holds an exclusive lock on a file; the system lets go of it when the process ends, however it ends."""
    import fcntl

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


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
