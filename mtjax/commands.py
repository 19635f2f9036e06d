"""What `mtjax` can do: flags, commands, and the function behind each, which imports what it needs when called."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mtjax.config import read, resolve

# By name: type, or the values that it may have; default; meaning.
FLAGS: dict[str, tuple[Any, Any, str]] = {
    "config": (str, None, "FILE.py or FILE.py:ARGUMENT, the recipe; --config.a.b=VALUE changes one key of it"),
    "workdir": (str, None, "folder of the run"),
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
        "predict and export, a folder",
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
    "operator": (str, "identity", "what happened to the photograph: a kind of operator; --operator.NAME=VALUE sets it"),
    "kernel": (str, None, "of --operator=blur: a kernel's file, or its kind, such as gaussian"),
    "mask": (str, None, "of --operator=mask: a picture that is white where pixels are known"),
    "method": (str, "admm", "the solver, see `mtjax show solvers`; --method.NAME=VALUE sets a parameter of it"),
    "prior": (str, None, "its prior, where it takes one (default: tv); --prior.NAME=VALUE sets a parameter of it"),
    "weight": (str, "auto", "what the method leaves open: a number, or auto, by cross-validation"),
    "debug": (bool, False, "show the traceback of an error, and what the libraries log"),
}


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


def train(arguments: Arguments) -> int:
    """Trains, or goes on with what was begun in the workdir."""
    config, overrides = arguments.config()
    from mtjax.train import run

    workdir = arguments.flags["workdir"]
    code = run(config, overrides, workdir)
    print(f"stopped and saved; the same command goes on in {workdir}" if code else f"done: {workdir}/evaluation.json")
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
    """Writes what every task of a trained network says of one photograph."""
    from mtjax.predict import predict_command

    flags = arguments.flags
    return predict_command(flags["workdir"], arguments.operand, flags["out"], flags["observation"])


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


def shows(name: str) -> Callable[[Arguments], int]:
    """The function behind `mtjax show NAME`."""

    def run(arguments: Arguments) -> int:
        from mtjax import show

        out = {"out": Path(arguments.flags["out"] or "data.png")} if "out" in arguments.flags else {}
        getattr(show, name)(*(arguments.config() if "config" in arguments.flags else ()), **out)
        return 0

    return run


COMMANDS = {
    "train": Command("train a recipe, or resume it: the same command again", ("config", "workdir"), (), train),
    "eval": Command("every metric of every task on one split", ("workdir",), ("split",), evaluate),
    "compare": Command(
        "learned heads and classical solvers on the same observations", ("workdir",), ("single_task", "limit"), compare
    ),
    "ablate": Command(
        "every task alone and every weighting on every sharing, with one budget and several seeds; resumes",
        ("config", "workdir"),
        ("weightings", "sharings", "seeds", "learning_rates"),
        ablate,
    ),
    "relate": Command("which tasks help each other, and which to train together", ("workdir",), (), relate),
    "predict": Command(
        "what every task of a trained network says of one photograph",
        ("workdir",),
        ("observation", "out"),
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
}
