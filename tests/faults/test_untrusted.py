"""Files and configs from elsewhere: no pickle is loaded, no path leads out of its folder, no value is run as code."""

import ast
import gzip
import json
import os
import pathlib
import pickle
import sys
import zipfile
from typing import Any

import garbage_configs
import numpy as np
import pytest
from PIL import Image

from mtjax import cli, config, data, record, registry, schema
from mtjax.data.sources import mnist_files
from mtjax.data.sources.mnist_files import read_split
from mtjax.physics import kernels
from mtjax.solve import read_observation

ROOT = pathlib.Path(__file__).resolve().parents[2]
QUICKSTART = str(ROOT / "configs" / "quickstart.py")
FORBIDDEN = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml", "torch"}
RUNNING = {"eval", "exec", "compile", "__import__", "system", "popen", "extractall", "unpack_archive"}
ARRAYS = {"load", "read_array", "open_memmap"}


def test_no_code_of_mtjax_unpickles_or_runs_text():
    for file in sorted((ROOT / "mtjax").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            where = f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not FORBIDDEN & {name.partition(".")[0] for name in names}, where
            if isinstance(node, ast.Call):
                given = {word.arg: word.value for word in node.keywords}
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                whole = ast.unparse(node.func) if name in (*RUNNING, *ARRAYS) else ""
                assert whole.removeprefix("os.") not in RUNNING and "shell" not in given, where
                if whole.startswith(("np.", "jnp.")):
                    assert ast.unparse(given["allow_pickle"]) == "False", where


class Attack:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def attack(tmp_path):
    """A marker that must not appear, and arrays, pickled, that would make it appear."""
    marker = tmp_path / "marker"
    pickle.loads(pickle.dumps(Attack(marker)))  # it works
    marker.rmdir()
    array = np.empty((2, 2), object)
    array[:] = Attack(marker)
    np.save(tmp_path / "attack.npy", array, allow_pickle=True)
    (tmp_path / "pickle.npy").write_bytes(pickle.dumps(Attack(marker)))
    with zipfile.ZipFile(tmp_path / "mnist_train.npz", "w") as archive:
        for name in ("x", "y"):
            archive.write(tmp_path / "attack.npy", f"{name}.npy")
    yield marker
    assert not marker.exists()


def test_a_pickle_is_refused_in_one_line_wherever_arrays_are_read(attack, tmp_path):
    for name in ("attack.npy", "pickle.npy"):
        with pytest.raises(config.ConfigError, match=rf"the photograph .*{name}' cannot be read"):
            read_observation(tmp_path / name, "the photograph")
        with pytest.raises(ValueError, match=rf"kernel file .*{name}' cannot be read"):
            kernels.load(tmp_path / name)
    with pytest.raises(ValueError, match=r"cannot be read: .*allow_pickle=False"):
        kernels.load(tmp_path / "mnist_train.npz", "x")
    with pytest.raises(config.ConfigError, match=r"cannot read .*mnist_train.npz: .*allow_pickle=False"):
        read_split(tmp_path, "mnist", "train")


def test_an_archive_that_grows_beyond_measure_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist_files, "MOST", 1 << 20)
    archive = zipfile.ZipFile(tmp_path / "mnist_train.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    with archive, archive.open("x.npy", "w", force_zip64=True) as file:
        file.write(bytes(2 << 20))
    with pytest.raises(config.ConfigError, match=r"unpacks to 2,097,152 bytes, more than 1,048,576"):
        read_split(tmp_path, "mnist", "train")
    (tmp_path / "mnist_train.npz").unlink()
    for kind in ("images-idx3", "labels-idx1"):
        (tmp_path / f"train-{kind}-ubyte.gz").write_bytes(gzip.compress(bytes(2 << 20)))
    with pytest.raises(config.ConfigError, match=r"train-images-idx3-ubyte.gz: it is longer than 1,048,576 bytes"):
        read_split(tmp_path, "mnist", "train")


def photos(folder, count=6):
    folder.mkdir(exist_ok=True)
    for i in range(count):
        Image.new("RGB", (16, 16), (i, 0, 0)).save(folder / f"{i}.png")
    return folder


def opened(spec) -> Any:
    """The training split of a folder."""
    return data.build(spec, "train")


def test_a_link_out_of_a_folder_of_pictures_is_not_followed(tmp_path):
    inside, outside = photos(tmp_path / "inside"), photos(tmp_path / "outside")
    (inside / "within.png").symlink_to("0.png")
    (tmp_path / "itself").symlink_to(inside)
    spec = {"source": "folder", "path": str(tmp_path / "itself"), "size": 16}
    assert len(opened(spec).files) == 5  # of seven, one is for validation and one for testing
    (inside / "secret.png").symlink_to(outside / "1.png")
    (inside / "folder").symlink_to(outside)  # whose pictures are not found at all
    with pytest.raises(ValueError, match=r"secret.png: it is a link out of the directory"):
        data.build(spec, "train")
    source = opened({**spec, "on_error": "skip"})
    assert len(source.files) == 5 and all("secret" not in file.name for file in source.files)


def test_pipes_loops_and_directories_among_pictures_neither_hang_nor_harm(tmp_path):
    folder = photos(tmp_path / "photos")
    (folder / "album.png").mkdir()
    spec = {"source": "folder", "path": str(folder), "size": 16}
    assert opened(spec).files
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "gone.png").symlink_to("nothing.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "a\nb\x1b[31m.png").write_bytes(b"")
    assert len(opened({**spec, "on_error": "skip"}).files) == 4
    for _ in ("gone.png", "loop.png", "pipe.png"):
        with pytest.raises(ValueError, match=r"folder: cannot read file \d, ") as caught:
            data.build(spec, "train")
        assert str(caught.value).isprintable()
        next(file for file in sorted(folder.iterdir()) if not file.is_file() and not file.is_dir()).unlink()
    with pytest.raises(ValueError, match=r"a\\nb\\x1b\[31m.png: cannot identify") as caught:
        data.build(spec, "train")
    for name in ("pipe.png", "album.png"):
        (tmp_path / name).mkdir()
        with pytest.raises(config.ConfigError, match="is not a file"):
            read_observation(tmp_path / name, "the photograph")


@pytest.fixture
def described(tmp_path):
    """Writes the description of a TFDS data set `shady`, and says what opening it is refused with."""

    def write(features, info):
        place = tmp_path / "shady" / "1.0.0"
        place.mkdir(parents=True, exist_ok=True)
        (place / "features.json").write_text(json.dumps(features))
        (place / "dataset_info.json").write_text(json.dumps({"name": "shady", "version": "1.0.0", **info}))
        with pytest.raises(config.ConfigError) as caught:
            data.build({"source": "tfds", "name": "shady", "data_dir": str(tmp_path)}, "train")
        return str(caught.value)

    return write


def test_the_description_of_a_data_set_imports_nothing_and_names_no_files_elsewhere(described, tmp_path, monkeypatch):
    (tmp_path / "shady_module.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    image = "tensorflow_datasets.core.features.image_feature.Image"
    feature = {"pythonClassName": "shady_module.Feature", "json": {"json": "{}"}}
    nested = {"pythonClassName": image, "featuresDict": {"features": {"image": feature}}}
    assert "would import 'shady_module'" in described(nested, {})
    assert "would import 'shady_module'" in described({"type": "shady_module.Feature", "content": {}}, {})
    assert "shady_module" not in sys.modules
    for template in ("../../{DATASET}", "/etc/{SPLIT}", ".."):
        splits = {"splits": [{"name": "train", "shardLengths": ["1"], "filepathTemplate": template}]}
        assert "names files outside its folder" in described({"pythonClassName": image}, splits)
    assert "cannot open the data set" in described([], {})


@pytest.mark.parametrize("name", ["..", "../shady", "/etc", "", "os:system", "os.path:join", "shady/../../x"])
def test_the_name_of_a_data_set_is_a_name(name, tmp_path):
    with pytest.raises(config.ConfigError, match=r"data\.name="):
        data.build({"source": "tfds", "name": name, "data_dir": str(tmp_path)}, "train")


PLACES = {
    "data.source": "source",
    "model.encoder.kind": "encoder",
    "model.sharing.kind": "sharing",
    "observations.blurred.operator.kind": "operator",
    "observations.blurred.noise.kind": "noise",
    "tasks.digit.kind": "task",
    "tasks.deblur.head.kind": "head",
    "weighting.kind": "weighting",
    "optimizer.kind": "optimizer",
    "optimizer.schedule.kind": "schedule",
    "compare.deblur[0].kind": "solver",
    "compare.deblur[1].prior.kind": "prior",
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ["os:system", "subprocess:Popen", "os:environ", "json:dumps"])
def test_what_a_config_imports_is_of_the_right_sort_or_is_not_called(place, name):
    with pytest.raises(config.ConfigError, match=f"{name}.* must be (called as|a class derived from)"):
        config.resolve(config.read(QUICKSTART), [f"--config.{place}={name}"])


def test_every_entry_of_every_table_is_called_as_is_asked_of_what_is_imported():
    for name in {*PLACES.values(), "loss"}:
        entries = list(schema.registry(name).values())
        for entry in entries:
            registry.refuse_other_sort(entry, entries, name)


def test_a_module_that_ends_the_process_when_imported_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "leaving_module.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(config.ConfigError, match="cannot import 'leaving_module': SystemExit: 3"):
        config.resolve(config.read(QUICKSTART), ["--config.model.encoder.kind=leaving_module:Net"])
    (tmp_path / "leaving_recipe.py").write_text("def get_config():\n    raise SystemExit('bye')")
    with pytest.raises(config.ConfigError, match=r"leaving_recipe\.py:2: SystemExit: bye"):
        config.read(str(tmp_path / "leaving_recipe.py"))


def test_no_value_of_the_command_line_is_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cli, "prepare", lambda debug: None)
    marker, photo = tmp_path / "marker", tmp_path / "photo.png"
    Image.new("L", (8, 8)).save(photo)
    text = f"__import__('os').mkdir('{marker}')"
    for key in list(record.flat(garbage_configs.examples()[-1]))[::7]:
        code = cli.main(["show", "config", f"--config={QUICKSTART}", f"--config.{key}={text}"])
        assert code == 2 or text.partition("(")[0] in capsys.readouterr().out
    for flag in ("operator", "kernel", "method", "prior", "weight", "operator.std", "method.rho", "prior.weight"):
        operator = [] if flag.startswith("operator") else ["--operator=blur"]
        assert cli.main(["solve", str(photo), *operator, f"--{flag}={text}"]) in (1, 2)
    capsys.readouterr()
    assert not marker.exists()


def test_a_name_that_would_be_a_path_is_refused_in_a_workdir_from_elsewhere(tmp_path):
    quickstart = [file.stem for file in garbage_configs.CONFIGS].index("quickstart")
    whole = {"config": json.loads(json.dumps(garbage_configs.examples()[quickstart]))}
    tasks = whole["config"]["tasks"]
    whole["config"]["compare"] = {}
    tasks["../../evil"] = tasks.pop("digit")
    (tmp_path / record.FILE).write_text(json.dumps(whole))
    with pytest.raises(config.ConfigError, match=r"config.json is damaged.*tasks has the name '../../evil'"):
        record.load(tmp_path)
