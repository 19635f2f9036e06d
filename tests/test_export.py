"""`mtjax export`: the files run in a process that has no mtjax, and say what the network says."""

import dataclasses
import json
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from mtjax import cli
from mtjax import export as exporting
from mtjax.export import Input, export, exported_for_any_batch, inputs_of
from mtjax.train import Trained
from mtjax.train.step import observe_for_evaluation

RNG = np.random.default_rng(0)
TASKS = ("inpaint", "digit")
RUN = """
import sys
sys.modules["mtjax"] = sys.modules["flax"] = None  # an import of either fails
import numpy as np
import load
predict, about = load.load(".")
with np.load("given.npz") as file:
    given = {name: file[name] for name in file.files}
out = predict(given)
np.savez("said.npz", **{name: np.asarray(value) for name, value in out.items()})
one = predict({name: value[:1] for name, value in given.items()})
assert all(len(value) == 1 for value in one.values())
for wrong, message in (({"nothing": 1}, "unknown input 'nothing'"), ({}, "'blurred.y' is missing")):
    try:
        predict(wrong)
    except ValueError as error:
        assert message in str(error), error
    else:
        raise AssertionError(message)
assert not [name for name in sys.modules if name.split(".")[0] == "mtjax" and sys.modules[name]]
"""


@pytest.fixture(scope="module")
def trained() -> Trained:
    experiment = tiny.experiment(TASKS)
    observed = jax.eval_shape(lambda: observe(experiment, jnp.zeros((1, 16, 16, 3))))
    shapes = jax.eval_shape(experiment.model.init, jax.random.key(0), observed)
    params = jax.tree.map(lambda leaf: jnp.asarray(0.2 * RNG.normal(size=leaf.shape), jnp.float32), shapes)
    return Trained(types.SimpleNamespace(), experiment, params, tiny.INFO, 7)


def observe(experiment, image):
    return observe_for_evaluation(experiment.observations, jnp.arange(len(image)), {"image": image})


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    out = tmp_path_factory.mktemp("exported") / "network"
    export(trained, out)
    return out


def test_a_process_without_mtjax_says_the_same(trained, folder):
    image = jnp.asarray(RNG.random((3, 16, 16, 3)), jnp.float32)

    @jax.jit
    def here(image):
        observed = observe(trained.experiment, image)
        return observed, trained.apply(trained.params, observed)

    observed, expected = here(image)
    given = {
        "blurred.y": observed["blurred"].y,
        "masked.y": observed["masked"].y,
        "masked.operator.mask": observed["masked"].operator.mask,
    }
    np.savez(folder / "given.npz", **given)
    done = subprocess.run([sys.executable, "-c", RUN], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with np.load(folder / "said.npz") as said:
        assert set(said.files) == set(TASKS)
        for name in TASKS:
            np.testing.assert_allclose(said[name], expected[name], rtol=1e-3, atol=1e-4)


def test_what_the_program_takes_and_gives_is_written_beside_it(folder):
    about = json.loads((folder / "network.json").read_text())
    assert about["batch"] == "any" and about["step"] == 7
    assert set(about["platforms"]) == {"cpu", "cuda", "tpu"}
    assert about["tasks"]["digit"] == {"kind": "classification", "observation": "blurred", "classes": ["a", "b", "c"]}
    assert about["outputs"]["digit"] == {"shape": ["batch", 3], "dtype": "float32"}
    assert about["outputs"]["inpaint"]["shape"] == ["batch", 16, 16, 3]
    needed = {name for name, known in about["inputs"].items() if not known["default"]}
    assert needed == {"blurred.y", "masked.y", "masked.operator.mask"}  # each mask is another
    with np.load(folder / "defaults.npz", allow_pickle=False) as defaults:
        assert set(defaults.files) == set(about["inputs"]) - needed
        assert defaults["blurred.noise_level"].item() == pytest.approx(0.02)
    with np.load(folder / "weights.npz", allow_pickle=False) as weights:
        assert sum(weights[name].size for name in weights.files) == about["parameters"]
    assert about["inputs"]["blurred.y"]["shape"] == ["batch", 16, 16, 3]


def test_a_program_that_must_know_the_size_of_its_batch_gets_batches_of_one():
    def rigid(weights, given):
        return {"sum": given["x"].reshape(int(given["x"].shape[0]), -1).sum(1) * weights["w"]}

    inputs = {"x": Input(("batch", 2, 2), np.float32, None)}
    exported, batch = exported_for_any_batch(rigid, {"w": np.float32(2)}, inputs)
    assert batch == 1
    assert exported.call({"w": np.float32(2)}, {"x": np.ones((1, 2, 2), np.float32)})["sum"] == 8


def test_fields_that_the_network_may_be_told_are_inputs_that_it_can_do_without(trained):
    observations = {name: {**node, "given": ("label",)} for name, node in trained.experiment.observations.items()}
    experiment = dataclasses.replace(trained.experiment, observations=observations)
    inputs = inputs_of(dataclasses.replace(trained, experiment=experiment))
    value, present = inputs["blurred.given.label.0"], inputs["blurred.given.label.1"]
    assert value.batched and value.default == 0 and present.default is not None and not present.default


def test_the_command_says_what_it_wrote(trained, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(cli, "prepare", lambda debug: None)
    about = {"tasks": {"digit": {}}, "parameters": 1234, "batch": "any"}
    about["inputs"] = {"blurred.y": {"dtype": "float32", "shape": ["batch", 16], "default": False}}
    monkeypatch.setattr(exporting, "restore", lambda workdir: trained)
    monkeypatch.setattr(exporting, "export", lambda trained, out: about)
    assert cli.main(["export", "--workdir=anywhere", f"--out={tmp_path}"]) == 0
    out = capsys.readouterr().out
    assert "1 tasks, 1,234 parameters, batches of any size" in out and "input blurred.y: float32" in out
    assert cli.main(["export", "--workdir=anywhere"]) == 2
    assert "needs --out=OUT" in capsys.readouterr().err
