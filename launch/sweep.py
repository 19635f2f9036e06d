"""Trains a recipe with every combination of some of its values, and says what came of each.

    python launch/sweep.py --config=configs/quickstart.py --workdir=runs/sweep \
        --sweep.optimizer.lr=1e-3,3e-3 --sweep.train.seed=0,1,2 --config.train.steps=300

    --sweep.KEY=A,B,C          every combination of these; a value with commas stands in brackets
    --zip.KEY=A,B,C            the first of each such list together, the second of each, ...
    --random.KEY=LOW:HIGH      drawn --samples times, from --random-seed; or log:LOW:HIGH, or one of A,B,C
    --config.KEY=VALUE         for all rows; what stands behind `--` goes to `mtjax train` as it is
    --parallel=N               rows side by side; each gets its share of CUDA_VISIBLE_DEVICES, if that names GPUs
    --row=K                    only this one, from 0: for arrays of a scheduler
    --dry-run                  prints the rows and their exact commands
    --summary                  writes the table of what is there, and trains nothing

The same command again goes on: rows that are done are skipped, stopped ones go on, failed ones are tried again. A row
that fails ends no other. SIGTERM and Ctrl-C are passed on to the rows, which save.

Exit codes: 0 all rows asked for are done, 75 stopped and saved, 1 some failed, 2 the command or a config is wrong.
"""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from sweep_rows import OUTCOME, STOPPED, Row, Spec, make_rows

from mtjax.cli import prepare
from mtjax.config import ConfigError, normalize, one_line
from mtjax.train import local
from mtjax.train.signals import EXIT_STOPPED, stop_requested

POLL = 0.2  # seconds


class Parser(argparse.ArgumentParser):
    """A parser whose errors are ConfigErrors."""

    def error(self, message: str) -> NoReturn:
        """Raises."""
        raise ConfigError(message)


def parse(words: Sequence[str]) -> tuple[argparse.Namespace, list[Row]]:
    """The flags, and all rows of the sweep.

    Raises:
        ConfigError: an unknown flag, a missing or a wrong one.
    """
    words = list(words)
    end = words.index("--") if "--" in words else len(words)
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    for name in ("config", "workdir"):
        parser.add_argument(f"--{name}", required=True, help=argparse.SUPPRESS)
    for name, default in (("parallel", 1), ("row", None), ("samples", 1), ("random-seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default, help=argparse.SUPPRESS)
    for name in ("dry-run", "summary"):
        parser.add_argument(f"--{name}", action="store_true", help=argparse.SUPPRESS)
    flags, others = parser.parse_known_args(normalize(words[:end]))
    swept: dict[str, dict[str, str]] = {"sweep": {}, "zip": {}, "random": {}}
    changes = []
    for word in others:
        node, dot, key = word.removeprefix("--").partition("=")[0].partition(".")
        if node in swept and dot:
            swept[node][key] = word.partition("=")[2]
        elif node in ("config", "noconfig") and dot:
            changes.append(word)
        else:
            raise ConfigError(f"unknown flag {word}; flags of `mtjax train` stand behind --")
    for name in ("parallel", "samples"):
        if getattr(flags, name) < 1:
            raise ConfigError(f"--{name} must be at least 1, got {getattr(flags, name)}")
    spec = Spec(swept["sweep"], swept["zip"], swept["random"], flags.samples, flags.random_seed)
    train = (sys.executable, "-m", "mtjax.cli", "train", f"--config={flags.config}")
    rows = make_rows(spec, train, Path(flags.workdir), changes, words[end + 1 :])
    if flags.row is not None and not 0 <= flags.row < len(rows):
        raise ConfigError(f"--row={flags.row}: expected 0 to {len(rows) - 1}")
    return flags, rows


def run_rows(rows: Sequence[Row], parallel: int, total: int) -> int:
    """Trains rows, so many side by side; the exit code."""
    waiting, codes = list(rows), []
    running: dict[int, tuple[Row, subprocess.Popen, float]] = {}  # by slot
    with stop_requested() as stopping:
        told = False
        while running or (waiting and not stopping()):
            for slot in sorted(set(range(parallel)) - set(running)):
                if waiting and not stopping():
                    row = waiting.pop(0)
                    print(f"row {row.number} of {total}: {row.title}; see {row.folder / 'log.txt'}", flush=True)
                    running[slot] = (row, start(row, share(os.environ, slot, parallel)), time.monotonic())
            if stopping() and not told:
                told = True
                for _, process, _ in running.values():
                    process.send_signal(signal.SIGTERM)
            for slot, (row, process, begin) in list(running.items()):
                if process.poll() is not None:
                    codes.append(ended(row, process.returncode, time.monotonic() - begin))
                    del running[slot]
            time.sleep(POLL)
    if waiting or set(STOPPED) & set(codes):
        print("stopped and saved; the same command goes on", flush=True)
        return EXIT_STOPPED
    return int(any(codes))


def share(environ: Mapping[str, str], slot: int, slots: int) -> dict[str, str]:
    """The variables of the row in a slot: the GPUs that CUDA_VISIBLE_DEVICES names are dealt out evenly."""
    gpus = [name for name in environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    if len(gpus) % slots:
        raise ConfigError(f"--parallel={slots} rows cannot share CUDA_VISIBLE_DEVICES={','.join(gpus)} evenly")
    each = len(gpus) // slots
    return {**environ, "CUDA_VISIBLE_DEVICES": ",".join(gpus[slot * each : (slot + 1) * each])} if gpus else {**environ}


def start(row: Row, environ: dict[str, str]) -> subprocess.Popen:
    """Starts a row; what it says goes to log.txt in its folder, behind what earlier attempts said."""
    row.folder.mkdir(parents=True, exist_ok=True)
    (row.folder / OUTCOME).unlink(missing_ok=True)
    with (row.folder / "log.txt").open("a") as log:
        log.write(f"$ {shlex.join(row.command)}\n")
        log.flush()
        # In a process group of its own: a Ctrl-C in the terminal reaches it once, by way of this process.
        return subprocess.Popen(
            local.dies_with_parent(row.command),
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            process_group=0,
        )


def ended(row: Row, code: int, seconds: float) -> int:
    """Keeps and says how an attempt ended; returns its code."""
    lines = (row.folder / "log.txt").read_text(errors="replace").splitlines()
    outcome = {"fields": row.fields, "code": code, "said": lines[-1] if len(lines) > 1 else "", "seconds": seconds}
    draft = row.folder / f"{OUTCOME}.tmp"
    draft.write_text(json.dumps(outcome, indent=1) + "\n")
    os.replace(draft, row.folder / OUTCOME)
    how = "done" if code == 0 else "stopped" if code in STOPPED else f"failed with {code}: {outcome['said']}"
    print(f"row {row.number} {how}, after {seconds:.0f} s", flush=True)
    return code


def show_commands(rows: Sequence[Row]) -> None:
    """Prints every row with its state, and the command that trains it."""
    print(f"# {len(rows)} rows; as a Slurm array: sbatch --array=0-{len(rows) - 1} launch/slurm_sweep.sbatch ...")
    for row in rows:
        print(f"# row {row.number}, {row.state}: {row.title}\n{shlex.join(row.command)}")


def sweep(words: Sequence[str]) -> int:
    """Does what the command line asks for; returns the exit code."""
    flags, rows = parse(words)
    asked = rows if flags.row is None else [rows[flags.row]]
    share(os.environ, 0, flags.parallel)
    for row in asked:
        row.config(flags.config)
    if flags.dry_run:
        show_commands(asked)
        return 0
    todo = [row for row in asked if row.state != "done"]
    code = 0 if flags.summary else run_rows(todo, flags.parallel, len(rows))
    if flags.row is None:
        from sweep_table import summarize

        from mtjax.show import console

        Path(flags.workdir).mkdir(parents=True, exist_ok=True)
        summarize(rows, Path(flags.workdir), console())
    return code


def main(words: Sequence[str]) -> int:
    """The same; what goes wrong is one line."""
    try:
        return sweep(words)
    except Exception as error:
        print(f"sweep: error: {one_line(error)}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1


if __name__ == "__main__":
    prepare(debug=False)
    sys.exit(main(sys.argv[1:]))
