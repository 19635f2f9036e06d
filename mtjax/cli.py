"""The command line: `mtjax COMMAND --flag=value ...`; what the commands are stands in `mtjax.commands`.

What goes wrong is one line on standard error: exit code 2 if the command or the config is wrong, 1 for anything else,
130 when interrupted; `--debug` adds the traceback. A training run that was asked to stop (SIGTERM) saves and exits
with 75; one that hangs is ended with 70.
"""

import functools
import logging
import os
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from mtjax import __version__
from mtjax.allocator import keep_freed_memory
from mtjax.commands import COMMANDS, FLAGS, Arguments
from mtjax.config import ConfigError, nearest, normalize, one_line

PATIENCE = 3.0  # seconds that threads have to end after the command did
FAILED = 1  # exit code of what is no fault of the command or the config


def usage(name: str | None = None) -> str:
    """The help of one command, or of all."""
    if name is None:
        lines = ["usage: mtjax COMMAND --flag=value ...", "", "commands:"]
        lines += [f"  {name:<16} {command.summary}" for name, command in COMMANDS.items()]
        return "\n".join([*lines, "", "`mtjax COMMAND --help` lists the flags of one; `mtjax --version` the version."])
    command = COMMANDS[name]
    needed = f" {command.operand}" if command.operand else ""
    needed += "".join(f" --{flag}={flag.upper()}" for flag in command.needs)
    lines = [f"usage: mtjax {name}{needed} [flags]", "", command.summary, "", "flags:"]
    lines += [
        f"  --{flag.replace('_', '-'):<15} {FLAGS[flag][2]}" for flag in (*command.needs, *command.takes, "debug")
    ]
    return "\n".join(lines)


def file_first(words: list[str]) -> list[str]:
    """The words, with the file of a command that takes one behind its name, if it stands behind the flags instead."""
    takes_one = len(words) > 2 and words[0] in COMMANDS and COMMANDS[words[0]].operand
    if takes_one and words[1].startswith("-") and not words[-1].startswith("-") and "=" in words[-2]:
        return [words[0], words[-1], *words[1:-1]]
    return words


def find(words: Sequence[str]) -> tuple[str, str]:
    """The command that the leading words name, and its operand ("" if it takes none).

    Raises:
        ConfigError: there is none; the message names the nearest one.
    """
    name = " ".join(words)
    operand = COMMANDS[words[0]].operand if words[0] in COMMANDS else ""
    if operand and len(words) == 2:
        return words[0], words[1]
    if operand:
        what = "file" if operand == "PHOTO" else "name"
        raise ConfigError(f"mtjax {words[0]} takes one {what}: mtjax {words[0]} {operand} --flag=value ...")
    if name in COMMANDS:
        return name, ""
    firsts = {command.split()[0] for command in COMMANDS}
    if words[0] not in firsts:
        raise ConfigError(f"unknown command {words[0]!r}; {nearest(words[0], firsts)}")
    if words[0] in COMMANDS:
        raise ConfigError(f"unexpected {words[1]!r} after {words[0]!r}; a flag is --name=value")
    targets = [command.split()[1] for command in COMMANDS if command.startswith(f"{words[0]} ")]
    if len(words) != 2:
        raise ConfigError(f"{words[0]} takes one word: {', '.join(targets)}")
    raise ConfigError(f"unknown {words[0]} {words[1]!r}; {nearest(words[1], targets)}")


def parse(name: str, words: Sequence[str], operand: str = "") -> Arguments:
    """The flags of one command.

    Raises:
        ConfigError: an unknown flag, with the nearest one; a missing one; a value of the wrong type.
    """
    from absl import flags

    command = COMMANDS[name]
    known = (*command.needs, *command.takes, "debug")
    plain, changes = [], []
    nodes: dict[str, dict[str, str]] = {node: {} for node in command.nodes}
    for word in normalize(words):
        flag, equals, value = word.removeprefix("--").partition("=")
        if "config" in known and flag.removeprefix("no").startswith("config."):
            changes.append(word)
            continue
        node, dot, key = flag.partition(".")
        if dot and node in nodes:
            if not key or not value:
                raise ConfigError(f"--{flag} needs a name and a value: --{node}.NAME=VALUE")
            nodes[node][key] = value
            continue
        flag = flag.replace("-", "_")
        if flag not in known:
            shown = [f"--{other.replace('_', '-')}" for other in known]
            raise ConfigError(f"unknown flag --{flag.replace('_', '-')} of mtjax {name}; {nearest(f'--{flag}', shown)}")
        kind = FLAGS[flag][0]
        if kind is not bool and not value:
            raise ConfigError(f"--{flag} needs a value: --{flag}={flag.upper()}")
        if isinstance(kind, tuple) and value not in kind:
            raise ConfigError(f"unknown --{flag} {value!r}; {nearest(value, kind)}")
        plain.append(f"--{flag}{equals}{value}")
    values = flags.FlagValues()
    count = functools.partial(flags.DEFINE_integer, lower_bound=1)
    define = {int: count, bool: flags.DEFINE_boolean}
    for flag in known:
        kind, default, text = FLAGS[flag]
        define.get(kind, flags.DEFINE_string)(flag, default, text, flag_values=values)
    try:
        values(["mtjax", *plain])
    except flags.Error as error:
        raise ConfigError(" ".join(str(error).split())) from error
    for flag in command.needs:
        if values[flag].value is None:
            raise ConfigError(f"mtjax {name} needs --{flag}={flag.upper()}: {FLAGS[flag][2]}")
    return Arguments({flag: values[flag].value for flag in known}, changes, nodes, operand)


def prepare(debug: bool) -> None:
    """Keeps compiled programs between calls, freed memory, and the libraries' own messages out of the terminal."""
    keep_freed_memory()
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path.home() / ".cache" / "mtjax" / "jax"))
    if debug:
        return
    from absl import logging as absl_logging

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    absl_logging.set_verbosity(absl_logging.ERROR)  # sets its logger anew on import, so its level cannot be set before
    for library in ("jax", "orbax", "grain", "tensorflow_datasets"):
        logging.getLogger(library).setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    warnings.filterwarnings("default", module="mtjax")
    warnings.showwarning = lambda message, *_, **__: print(f"mtjax: warning: {message}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    words = file_first(list(sys.argv[1:] if argv is None else argv))
    if words == ["--version"]:
        print(f"mtjax {__version__}")
        return 0
    debug = "--debug" in words
    try:
        first_flag = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
        wants_help = bool({"--help", "-h"} & set(words))
        if not words[:first_flag]:
            if words and not wants_help:
                raise ConfigError(f"the command comes first: mtjax COMMAND {words[0]}; `mtjax --help` lists them")
            print(usage(), file=sys.stdout if wants_help else sys.stderr)
            return 0 if wants_help else 2
        if wants_help and words[0] in COMMANDS:
            print(usage(words[0]))
            return 0
        name, operand = find(words[:first_flag])
        if wants_help:
            print(usage(name))
            return 0
        arguments = parse(name, words[first_flag:], operand)
        prepare(debug)
        return COMMANDS[name].run(arguments)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("mtjax: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if debug:
            traceback.print_exc()
        print(f"mtjax: error: {one_line(error)}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else FAILED


def script() -> NoReturn:
    """What a shell runs: one command, and then the end, though a thread may still wait for what never comes."""
    code = main()
    if code == FAILED and one_of_several():
        end_now(code)  # a farewell would wait for the others, and they wait for this process's next step
    threading.Thread(target=end_if_stuck, args=(code,), daemon=True).start()
    sys.exit(code)


def one_of_several() -> bool:
    """Whether this process has joined others; of a command that never loaded JAX it has not."""
    jax = sys.modules.get("jax")
    return jax is not None and jax.distributed.is_initialized()


def end_if_stuck(code: int) -> None:
    """Ends the process where Python would wait for threads that do not end, such as one that reads a hung disk."""
    time.sleep(PATIENCE)
    if any(not thread.daemon and thread is not threading.main_thread() for thread in threading.enumerate()):
        end_now(code)


def end_now(code: int) -> NoReturn:
    """Ends the process without waiting for anything."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    script()
