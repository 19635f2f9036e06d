"""`mtjax export`: a trained network as files that JAX alone can run, without mtjax."""

import dataclasses
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export as jax_export

from mtjax import __version__
from mtjax.data import to_device_batch
from mtjax.physics import Observed
from mtjax.train import Trained, restore
from mtjax.train.step import observe_for_evaluation
from mtjax.typing import Batch

PLATFORMS = ("cpu", "cuda", "tpu")
LOADER = '''\
"""Runs what `mtjax export` wrote; needs jax and numpy, not mtjax.

    predict, about = load("this folder")
    predictions = predict({{"{first}": pictures}})   # {shape}; inputs with a default may be left out

`about` is network.json: the tasks, their classes, and the shape of each input and output.
"""

import json
import pathlib

import jax
import numpy as np


def load(folder):
    """`predict(inputs) -> outputs`, both arrays by name with the batch first, and what there is to know of it."""
    folder = pathlib.Path(folder)
    about = json.loads((folder / "network.json").read_text())
    call = jax.jit(jax.export.deserialize(bytearray((folder / "network.stablehlo").read_bytes())).call)
    with np.load(folder / "weights.npz", allow_pickle=False) as file:
        weights = {{name: file[name] for name in file.files}}
    with np.load(folder / "defaults.npz", allow_pickle=False) as file:
        defaults = {{name: file[name] for name in file.files}}

    def predict(inputs):
        if unknown := sorted(set(inputs) - set(about["inputs"])):
            raise ValueError(f"unknown input {{unknown[0]!r}}; there is {{', '.join(about['inputs'])}}")
        if missing := [n for n in about["inputs"] if n not in inputs and n not in defaults]:
            raise ValueError(f"input {{missing[0]!r}} is missing")
        batch = next(len(x) for n, x in inputs.items() if about["inputs"][n]["shape"][0] == "batch")
        complete = {{}}
        for name, known in about["inputs"].items():
            value = inputs[name] if name in inputs else defaults[name]
            if name not in inputs and known["shape"][:1] == ["batch"]:
                value = np.repeat(value[None], batch, 0)
            complete[name] = np.asarray(value, known["dtype"])
        return call(weights, complete)

    return predict, about


if __name__ == "__main__":
    print(json.dumps(load(pathlib.Path(__file__).parent)[1], indent=1))
'''


def export_command(workdir: str, out: str) -> int:
    """Writes the network of a workdir into a folder, and says what is there."""
    about = export(restore(workdir), out)
    size = "of any size" if about["batch"] == "any" else f"of {about['batch']}"
    print(f"{len(about['tasks'])} tasks, {about['parameters']:,} parameters, batches {size}")
    for name, known in about["inputs"].items():
        print(f"  input {name}: {known['dtype']} {known['shape']}{' (has a default)' if known['default'] else ''}")
    print(f"wrote network.stablehlo, weights.npz, defaults.npz, network.json and load.py into {out}")
    return 0


def export(trained: Trained, out: str | Path) -> dict[str, Any]:
    """Writes a network as files that no mtjax is needed for; gives back what network.json says.

    The program maps the weights, and what was observed of a batch of images, to the predictions of all tasks. Inputs
    are the arrays of the observations, by names such as `blurred.y` and `blurred.operator.kernel`; those that are the
    same for each example, or that a network can do without, have a default. Images are of the size of the data that it
    was trained with. The batch is of any size, unless the network's program cannot be written for that.

    Args:
        trained: a trained network.
        out: a folder, which is made.
    """
    out, inputs = Path(out), inputs_of(trained)
    paths, tree = jax.tree.flatten_with_path(trained.params)
    weights = {_name(path, "/"): np.asarray(leaf) for path, leaf in paths}

    def one(weights: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        """All predictions of one example; what each example has of its own comes without the batch axis."""
        leaves = [given[name][None] if known.batched else given[name] for name, known in inputs.items()]
        params = tree.unflatten([weights[_name(path, "/")] for path, _ in paths])
        predictions = trained.apply(params, jax.tree.unflatten(_tree(trained), leaves))
        return {_name(path): leaf[0] for path, leaf in jax.tree.leaves_with_path(predictions)}

    program = jax.vmap(one, in_axes=(None, {name: 0 if known.batched else None for name, known in inputs.items()}))
    exported, batch = exported_for_any_batch(program, weights, inputs)
    about = {
        "mtjax": __version__,
        "versions": {package: version(package) for package in ("jax", "flax", "numpy")},
        "platforms": exported.platforms,
        "step": trained.step,
        "parameters": sum(leaf.size for leaf in weights.values()),
        "batch": batch,
        "tasks": {name: _about(trained, name) for name in trained.tasks},
        "inputs": {name: known.about() for name, known in inputs.items()},
        "outputs": {name: _form(out.shape, out.dtype) for name, out in _outputs(exported).items()},
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "network.stablehlo").write_bytes(exported.serialize())
    np.savez(out / "weights.npz", allow_pickle=False, **weights)
    defaults = {name: known.default for name, known in inputs.items() if known.default is not None}
    np.savez(out / "defaults.npz", allow_pickle=False, **defaults)
    (out / "network.json").write_text(json.dumps(about, indent=1) + "\n")
    first = next(iter(inputs))
    (out / "load.py").write_text(LOADER.format(first=first, shape=about["inputs"][first]["shape"]))
    return about


@dataclasses.dataclass(frozen=True)
class Input:
    """One array of what is observed.

    shape: with the batch first, as "batch", where each example has its own. default: what is taken where it is not
    given, without the batch; None if it must be given.
    """

    shape: tuple[Any, ...]
    dtype: Any
    default: np.ndarray | None

    @property
    def batched(self) -> bool:
        """Whether each example has its own."""
        return self.shape[:1] == ("batch",)

    def about(self) -> dict[str, Any]:
        """What network.json says of it."""
        return {**_form(self.shape, self.dtype), "default": self.default is not None}


def inputs_of(trained: Trained) -> dict[str, Input]:
    """Every array of the observations, by its name."""
    examples = jax.device_get(jax.jit(lambda: _observed(trained, 2))())
    fewer = jax.tree.leaves(jax.eval_shape(lambda: _observed(trained, 1)))
    found = {}
    for (path, leaf), other in zip(jax.tree.leaves_with_path(examples), fewer, strict=True):
        batched = leaf.shape != other.shape
        measured = path[1] == jax.tree_util.GetAttrKey("y")
        drawn = batched and not np.array_equal(leaf[0], leaf[1])
        default = None if measured or drawn else np.asarray(leaf[0] if batched else leaf)
        found[_name(path)] = Input(("batch", *leaf.shape[1:]) if batched else leaf.shape, leaf.dtype, default)
    return found


def exported_for_any_batch(program: Any, weights: dict[str, Any], inputs: dict[str, Input]) -> tuple[Any, str | int]:
    """The exported program, and "any", or the one size of batch that it takes if it cannot be written for all."""

    def write(batch: Any) -> Any:
        given = {
            name: jax.ShapeDtypeStruct((batch, *known.shape[1:]) if known.batched else known.shape, known.dtype)
            for name, known in inputs.items()
        }
        forms = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), weights)
        return jax_export.export(jax.jit(program), platforms=PLATFORMS)(forms, given)

    try:
        (batch,) = jax_export.symbolic_shape("batch")
        return write(batch), "any"
    except (jax.errors.ConcretizationTypeError, jax.errors.InconclusiveDimensionOperation):
        return write(1), 1


def _observed(trained: Trained, count: int) -> dict[str, Observed]:
    """So many black images, observed; of what else the network may be told, nothing is there."""
    info = trained.source_info
    batch: Batch = {field: np.zeros((count, *shape), info.dtype(field)) for field, shape in info.fields.items()}
    batch["valid"] = {field: np.zeros(count, bool) for field in info.fields}
    return observe_for_evaluation(trained.experiment.observations, jnp.arange(count), to_device_batch(batch))


def _tree(trained: Trained) -> Any:
    return jax.tree.structure(jax.eval_shape(lambda: _observed(trained, 1)))


def _about(trained: Trained, name: str) -> dict[str, Any]:
    """A task, and the names of its classes where it has such."""
    task, known = trained.tasks[name], trained.source_info.class_names
    classes = [label for label in task.fields if label in known]
    about = {"kind": task.kind, "observation": task.observation}
    return {**about, "classes": known[classes[0]]} if classes else about


def _outputs(exported: Any) -> dict[str, Any]:
    return exported.out_tree.unflatten(exported.out_avals)


def _form(shape: Any, dtype: Any) -> dict[str, Any]:
    return {"shape": [side if isinstance(side, int) else "batch" for side in shape], "dtype": np.dtype(dtype).name}


def _name(path: Any, separator: str = ".") -> str:
    return jax.tree_util.keystr(path, simple=True, separator=separator)
