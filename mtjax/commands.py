"""What `mtjax` can do: flags, commands, and the function behind each, which imports what it needs when called."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mtjax.config import ConfigError, read, resolve

# By name: type, or the values that it may have; default; meaning.
FLAGS: dict[str, tuple[Any, Any, str]] = {
    "config": (str, None, "FILE.py or FILE.py:ARGUMENT, the recipe; --config.a.b=VALUE changes one key of it"),
    "workdir": (str, None, "folder of the run; of protocol, also several trainings of one recipe, with commas between"),
    "split": (("train", "validation", "test"), "test", "train, validation or test"),
    "single_task": (bool, False, "also train each task alone, into WORKDIR/single, and report what sharing changed"),
    "limit": (int, None, "compare on this many test images at most"),
    "weightings": (
        str,
        None,
        "names with commas between, or all; NAME@parameters takes gradients there (default: the config's)",
    ),
    "sharings": (str, None, "names with commas between, or all (default: the config's)"),
    "seeds": (int, 3, "how often each is trained, with train.seed and those after it"),
    "learning_rates": (
        str,
        None,
        "numbers with commas between; each method gets its best by validation (default: the config's)",
    ),
    "out": (
        str,
        None,
        "picture to write (default: data.png; of generate, samples.png; of solve, restored.png, or a .npy file); of "
        "protocol, a .json file; of predict and export, a folder",
    ),
    "label": (
        str,
        None,
        "class of all images, by name or number; commas between those of several fields (default: all in turn)",
    ),
    "count": (int, 64, "number of images, and of test images that they are compared with"),
    "steps": (int, 50, "steps from noise to image"),
    "guidance": (str, None, "number: more than 1 makes images more typical of their class (default: without guidance)"),
    "observation": (
        ("as-trained", "clean"),
        "as-trained",
        "what happened to the photograph: as-trained, as in the config; clean, nothing",
    ),
    "data": (str, None, "folder of the pictures that a protocol names"),
    "task": (str, None, "whose head has a row of its own (default: the only one that gives an image)"),
    "scale": (str, None, "how many times as large to make images of any size, such as 2.5 (default: as in training)"),
    "operator": (str, "identity", "what happened to the photograph: a kind of operator; --operator.NAME=VALUE sets it"),
    "kernel": (str, None, "of --operator=blur: a kernel's file, or its kind, such as gaussian"),
    "mask": (str, None, "of --operator=mask: a picture that is white where pixels are known"),
    "method": (str, "admm", "the solver, see `mtjax show solvers`; --method.NAME=VALUE sets a parameter of it"),
    "prior": (str, None, "its prior, where it takes one (default: tv); --prior.NAME=VALUE sets a parameter of it"),
    "weight": (str, "auto", "what the method leaves open: a number, or auto, by cross-validation"),
    "coordinator": (str, None, "HOST:PORT of process 0 (default: as Slurm, Open MPI, Kubernetes or Cloud TPU say)"),
    "num_processes": (int, None, "how many processes the run has (default: as they say, or this one alone)"),
    "process_id": (str, None, "number of this process, from 0 (default: as they say)"),
    "local_processes": (int, None, "so many processes on this machine, each with --devices-per-process CPU devices"),
    "devices_per_process": (int, None, "CPU devices of each of the --local-processes (default: 1)"),
    "debug": (bool, False, "show the traceback of an error, and what the libraries log"),
}

CLUSTER = ("coordinator", "num_processes", "process_id", "local_processes", "devices_per_process")


@dataclasses.dataclass(frozen=True)
class Command:
    """A command: what it does in one line, the flags that it must have and may have, and the function behind it.

    `operand` is what stands right behind its name, if anything does; `nodes` are the flags that take parameters:
    `--NODE.NAME=VALUE`.
    """

    summary: str
    needs: tuple[str, ...]
    takes: tuple[str, ...]
    run: Callable[["Arguments"], int]
    operand: str = ""
    nodes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Arguments:
    """What stands on the command line behind the command.

    flags: values by name; changes: the `--config.a.b=value` flags, in order; nodes: by node, what `--NODE.NAME=VALUE`
    set; operand: what stands behind the command's name.
    """

    flags: dict[str, Any]
    changes: list[str]
    nodes: dict[str, dict[str, str]]
    operand: str = ""

    def config(self) -> tuple[Any, dict[str, Any]]:
        """The resolved config and its overrides."""
        return resolve(read(self.flags["config"]), self.changes)

    def words(self, without: tuple[str, ...]) -> list[str]:
        """The flags as they stand on a command line, those named left out."""
        given = {name.replace("_", "-"): value for name, value in self.flags.items() if name not in without}
        said = [f"--{name}" if value is True else f"--{name}={value}" for name, value in given.items() if value]
        return [*said, *self.changes]


def together(command: str, arguments: Arguments) -> int | None:
    """Meets the other processes that the flags of CLUSTER or the environment tell of, or starts them on this machine.

    Returns:
        The exit code of those that were started; None where it is for this process to do what the command does.

    Raises:
        ConfigError: the flags do not fit together.
    """
    from mtjax.train import cluster, local

    flags = arguments.flags
    processes, devices = flags["local_processes"], flags["devices_per_process"]
    if devices and not processes:
        raise ConfigError("--devices-per-process is for --local-processes=N; else JAX finds the devices itself")
    if processes:
        words = [command, *arguments.words(without=("local_processes", "devices_per_process"))]
        return local.launch(words, processes, devices or 1)
    detected = cluster.detect(os.environ, cluster.has_tpu())
    if setting := cluster.chosen(detected, flags["coordinator"], flags["num_processes"], flags["process_id"]):
        cluster.join(setting)
    return None


def train(arguments: Arguments) -> int:
    """Trains, or goes on with what was begun in the workdir."""
    config, overrides = arguments.config()
    from mtjax.train import distributed, run

    if (code := together("train", arguments)) is not None:
        return code
    workdir = arguments.flags["workdir"]
    code = run(config, overrides, workdir)
    if distributed.is_main():
        stopped = f"stopped and saved; the same command goes on in {workdir}"
        print(stopped if code else f"done: {workdir}/evaluation.json")
    return code


def evaluate(arguments: Arguments) -> int:
    """Prints every metric of every task on a split."""
    from mtjax import show
    from mtjax.train import evaluate as evaluate_workdir

    workdir, split = arguments.flags["workdir"], arguments.flags["split"]
    show.metrics(evaluate_workdir(workdir, split), f"{workdir}, {split} split")
    return 0


def compare(arguments: Arguments) -> int:
    """Compares the learned heads with the classical solvers, on the same observations."""
    from mtjax.compare import compare_command

    flags = arguments.flags
    return compare_command(flags["workdir"], limit=flags["limit"], single_task=flags["single_task"])


def protocol(arguments: Arguments) -> int:
    """Carries a published protocol out, and prints our rows beside the published ones."""
    from mtjax.compare.protocols.command import protocol_command

    asked = {name: arguments.flags[name] for name in ("data", "workdir", "task", "out")}
    return protocol_command(arguments.operand, **asked)


def show_protocols(arguments: Arguments) -> int:
    """Prints the names of the published protocols."""
    from mtjax.compare.protocols.command import list_protocols

    del arguments
    return list_protocols()


def ablate(arguments: Arguments) -> int:
    """Trains every task alone and every weighting on every sharing, under one budget."""
    config, _ = arguments.config()
    from mtjax.ablate import ablate_command

    flags = arguments.flags
    asked = {name: flags[name] for name in ("weightings", "sharings", "seeds", "learning_rates")}
    return ablate_command(config, flags["workdir"], **asked)


def relate(arguments: Arguments) -> int:
    """Which tasks of a trained network help each other."""
    from mtjax.relate import relate_command

    return relate_command(arguments.flags["workdir"])


def predict(arguments: Arguments) -> int:
    """Writes what every task of a trained network says of one photograph, or of the frames of a burst."""
    from mtjax.predict import predict_command

    flags = arguments.flags
    asked = (flags[name] for name in ("out", "observation", "scale"))
    return predict_command(flags["workdir"], arguments.operand, *asked)


def export(arguments: Arguments) -> int:
    """Writes a trained network as files that JAX alone can run."""
    from mtjax.export import export_command

    return export_command(arguments.flags["workdir"], arguments.flags["out"])


def solve(arguments: Arguments) -> int:
    """Restores one photograph."""
    from mtjax.solve import Request, solve_command

    flags = arguments.flags
    kinds = {node: flags[node] for node in arguments.nodes}
    out = flags["out"] or "restored.png"
    files = {name: flags[name] for name in ("kernel", "mask", "weight")}
    return solve_command(Request(arguments.operand, out, kinds, arguments.nodes, **files))


def generate(arguments: Arguments) -> int:
    """Makes images from noise."""
    from mtjax.samples import generate_command

    asked = {name: arguments.flags[name] for name in ("label", "count", "steps", "guidance")}
    return generate_command(arguments.flags["workdir"], arguments.flags["out"] or "samples.png", **asked)


def doctor(arguments: Arguments) -> int:
    """Looks whether this machine can do what a run relies on."""
    from mtjax.doctor import doctor_command

    code = together("doctor", arguments)
    return doctor_command(arguments.flags["workdir"] or ".") if code is None else code


def shows(name: str) -> Callable[[Arguments], int]:
    """The function behind `mtjax show NAME`."""

    def run(arguments: Arguments) -> int:
        from mtjax import show

        out = {"out": Path(arguments.flags["out"] or "data.png")} if "out" in arguments.flags else {}
        getattr(show, name)(*(arguments.config() if "config" in arguments.flags else ()), **out)
        return 0

    return run


COMMANDS = {
    "train": Command("train a recipe, or resume it: the same command again", ("config", "workdir"), CLUSTER, train),
    "eval": Command("every metric of every task on one split", ("workdir",), ("split",), evaluate),
    "compare": Command(
        "learned heads and classical solvers on the same observations", ("workdir",), ("single_task", "limit"), compare
    ),
    "protocol": Command(
        "a published protocol: our figures beside the published ones, see `mtjax show protocols`",
        (),
        ("data", "workdir", "task", "out"),
        protocol,
        operand="PROTOCOL",
    ),
    "ablate": Command(
        "every task alone and every weighting on every sharing, with one budget and several seeds; resumes",
        ("config", "workdir"),
        ("weightings", "sharings", "seeds", "learning_rates"),
        ablate,
    ),
    "relate": Command("which tasks help each other, and which to train together", ("workdir",), (), relate),
    "predict": Command(
        "what every task of a trained network says of one photograph, or of a burst: a folder of its frames",
        ("workdir",),
        ("observation", "scale", "out"),
        predict,
        operand="PHOTO",
    ),
    "export": Command("a trained network as files that run without mtjax", ("workdir", "out"), (), export),
    "solve": Command(
        "restore one photograph with a classical solver",
        (),
        ("operator", "kernel", "mask", "method", "prior", "weight", "out"),
        solve,
        operand="PHOTO",
        nodes=("operator", "method", "prior"),
    ),
    "generate": Command(
        "images from noise, by a task of kind generation, and how like the test split they are",
        ("workdir",),
        ("out", "label", "count", "steps", "guidance"),
        generate,
    ),
    "doctor": Command("what this machine is, and what does not work on it", (), ("workdir", *CLUSTER), doctor),
    "show config": Command("the resolved config, and what the command line changed", ("config",), (), shows("config")),
    "show data": Command("one batch as a picture", ("config",), ("out",), shows("data")),
    "show model": Command("parameters and FLOPs by module", ("config",), (), shows("model")),
    "show devices": Command("the devices that JAX sees", (), (), shows("devices")),
    "show operators": Command(
        "the operators and noises that a config may name, with their parameters", (), (), shows("operators")
    ),
    "show solvers": Command("the solvers that a config may name, with their parameters", (), (), shows("solvers")),
    "show tasks": Command("the tasks that a config may name, and what each is compared with", (), (), shows("tasks")),
    "show weightings": Command(
        "the weightings that a config may name, with their parameters", (), (), shows("weightings")
    ),
    "show networks": Command("the encoders, sharings and heads that a config may name", (), (), shows("networks")),
    "show protocols": Command("the published protocols", (), (), show_protocols),
}
