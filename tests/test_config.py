"""Configs with registries of the test's own: what is completed, what is refused, and how it says so."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Literal

import pytest
from ml_collections import ConfigDict

from mtjax import checks, config, record, registry, schema


def unet(dtype, /, *, width: int = 32, depth: int = 3, dropout: float | None = None):
    return dtype, width, depth, dropout


def transformer(dtype, /, *, width: int = 64, patch: int = 4):
    return dtype, width, patch


def decoder(dtype, outputs, /, *, width: int = 32, solver: Mapping[str, Any] = {"kind": "wiener"}):
    return dtype, outputs, width, solver


def task(
    name, info, /, *, observation: str, head: Mapping[str, Any] = {"kind": "decoder", "width": 16}, loss: Any = "l1"
):
    return name, info, observation, head, loss


@dataclasses.dataclass(frozen=True)
class SolverInfo:
    run: Any
    tunable: Mapping[str, tuple[float, float]]


@dataclasses.dataclass(frozen=True)
class TV:
    weight: float = 1e-3
    isotropic: bool = True


def wiener(y, operator, /, *, noise_to_signal: float = 1e-2, regularizer: Literal["white", "laplacian"] = "white"):
    return y, operator, noise_to_signal, regularizer


def admm(y, operator, /, *, prior: Any = ({"kind": "tv"},), rho: float = 2e-2, iterations: int = 100):
    return y, operator, prior, rho, iterations


FAKES = {
    "operator": {
        "blur": lambda keys, shape, /, *, std=1.6, boundary="circular": None,
        "mask": lambda keys, shape, /, *, keep=0.5: None,
    },
    "noise": {"gaussian": lambda keys, /, *, sigma=0.02: None},
    "solver": {
        "wiener": SolverInfo(wiener, {"noise_to_signal": (1e-4, 1.0)}),
        "admm": SolverInfo(admm, {"rho": (1e-3, 1.0), "weight": (1e-4, 1.0)}),
    },
    "prior": {"tv": TV},
    "counterpart": {},
    "encoder": {"unet": unet, "transformer": transformer},
    "sharing": {"hard": lambda tasks, /, *, task_bias=False: None},
    "head": {"decoder": decoder, "pooled": lambda dtype, outputs, /, *, hidden=128: None},
    "task": {"reconstruction": task, "classification": task},
    "weighting": {"equal": lambda names, /: None, "fixed": None},
    "optimizer": {
        "adamw": lambda schedule, /, *, weight_decay=1e-4, b1=0.9: None,
        "sgd": lambda schedule, /, *, momentum=0.9: None,
    },
    "schedule": {"constant": lambda lr, steps, /: None, "warmup_cosine": lambda lr, steps, /, *, warmup=100: None},
    "source": {
        "digit_scenes": lambda split, /, *, size=64: None,
        "folder": None,
    },
    "loss": {"l1": lambda p, t: None, "ssim": lambda p, t: None, "focal": lambda p, t, *, gamma=2.0: None},
}


def fixed(names, /, *, weights: Mapping[str, float] | tuple[float, ...] = ()):
    return names, weights


def folder(split, /, *, path: str, size: int = 64, on_error: Literal["raise", "skip"] = "raise"):
    return split, path, size, on_error


def gaussian(keys, /, *, sigma: float | tuple[float, float] = 0.02):
    return keys, sigma


FAKES["weighting"]["fixed"] = fixed
FAKES["source"]["folder"] = folder
FAKES["noise"]["gaussian"] = gaussian


@pytest.fixture(autouse=True)
def fakes(monkeypatch):
    monkeypatch.setattr(schema, "registry", lambda name: FAKES[name])


def recipe(**sections: Any) -> ConfigDict:
    noise = {"kind": "gaussian", "sigma": 0.02}
    c = ConfigDict()
    c.observations = {
        "blurred": {"operator": {"kind": "blur", "std": 2.0}, "noise": noise},
        "masked": {"operator": {"kind": "mask"}, "noise": noise},
    }
    c.tasks = {
        "deblur": {"kind": "reconstruction", "observation": "blurred"},
        "inpaint": {"kind": "reconstruction", "observation": "masked"},
        "digit": {"kind": "classification", "observation": "blurred", "head": {"kind": "pooled"}},
    }
    c.compare = {"deblur": [{"kind": "wiener"}, {"kind": "admm", "prior": {"kind": "tv"}}]}
    for name, value in sections.items():
        c[name] = value
    return c


def resolved(*arguments: str, **sections: Any) -> ConfigDict:
    return config.resolve(recipe(**sections), arguments)[0]


def refusal(*arguments: str, **sections: Any) -> str:
    with pytest.raises(config.ConfigError) as caught:
        config.resolve(recipe(**sections), arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_everything_left_out_is_completed():
    c = resolved()
    assert c.model.to_dict() == {
        "encoder": {"kind": "unet", "width": 32, "depth": 3, "dropout": None},
        "sharing": {"kind": "hard", "task_bias": False},
    }
    assert c.observations.blurred.operator.to_dict() == {"kind": "blur", "std": 2.0, "boundary": "circular"}
    head = {
        "kind": "decoder",
        "width": 16,
        "solver": {"kind": "wiener", "noise_to_signal": 1e-2, "regularizer": "white"},
    }
    assert c.tasks.deblur.head.to_dict() == head
    assert c.optimizer.schedule.to_dict() == {"kind": "warmup_cosine", "warmup": 100}
    assert set(c.train) == set(schema.TRAIN)
    assert c.data.augment.scale == (1.0, 1.0)
    assert c.is_locked


def test_what_compare_searches_for_is_left_out_unless_given():
    deblur = resolved().compare.deblur
    assert deblur[0] == {"kind": "wiener", "regularizer": "white"}
    assert deblur[1] == {"kind": "admm", "prior": {"kind": "tv", "isotropic": True}, "iterations": 100}
    assert resolved("--config.compare.deblur[0].noise_to_signal=0.5").compare.deblur[0]["noise_to_signal"] == 0.5


def test_resolving_twice_changes_nothing():
    once = resolved("--config.tasks.digit.head.kind=decoder")
    assert config.resolve(once)[0].to_dict() == once.to_dict()


@pytest.mark.parametrize(
    ("argument", "key", "value"),
    [
        ("--config.train.steps=3", "train.steps", 3),
        ("--config.optimizer.lr=1", "optimizer.lr", 1.0),
        ("--config.optimizer.lr 3e-4", "optimizer.lr", 3e-4),
        ("-config.optimizer.clip=0", "optimizer.clip", 0.0),
        ("--config.data.augment.flip", "data.augment.flip", True),
        ("--noconfig.data.augment.flip", "data.augment.flip", False),
        ("--config.data.augment.scale=(0.5,2)", "data.augment.scale", (0.5, 2.0)),
        ("--config.model.encoder.dropout=0.1", "model.encoder.dropout", 0.1),
        ("--config.model.encoder.dropout=None", "model.encoder.dropout", None),
        ("--config.observations.blurred.noise.sigma=0.1", "observations.blurred.noise.sigma", 0.1),
        ("--config.observations.blurred.noise.sigma=(0,0.1)", "observations.blurred.noise.sigma", (0.0, 0.1)),
        ("--config.tasks.deblur.loss=ssim", "tasks.deblur.loss", "ssim"),
        ("--config.optimizer.per_task.digit.lr=0.5", "optimizer.per_task.digit.lr", 0.5),
        ("--config.train.precision=bfloat16", "train.precision", "bfloat16"),
    ],
)
def test_values_from_the_command_line(argument, key, value):
    c, overrides = config.resolve(recipe(), argument.split())
    for part in key.split("."):
        c = c[part]
    assert c == value
    assert type(c) is type(value)
    assert overrides == {key: value}


def test_a_kind_from_the_command_line_brings_its_own_parameters():
    model = {"encoder": {"kind": "unet", "width": 8, "depth": 2}}
    c = resolved("--config.model.encoder.kind=transformer", "--config.model.encoder.patch=8", model=model)
    assert c.model.encoder.to_dict() == {"kind": "transformer", "width": 8, "patch": 8}
    assert "no" not in c.model.encoder
    assert "'depth' in model.encoder" in refusal(
        "--config.model.encoder.kind=transformer", "--config.model.encoder.depth=8", model=model
    )


def test_a_required_parameter_may_come_from_the_command_line_alone():
    assert refusal(data={"source": "folder"}) == "data.path is missing; --config.data.path=VALUE gives it"
    assert resolved("--config.data.path=~/x.y", data={"source": "folder"}).data.path == "~/x.y"
    assert resolved("--config.data.source=folder", "--config.data.path=a").data.path == "a"


def test_a_mapping_may_be_filled_from_the_command_line():
    c = resolved("--config.weighting.kind=fixed", "--config.weighting.weights.digit=2")
    assert c.weighting.weights.to_dict() == {"digit": 2}


def test_only_some_of_the_tasks():
    per_task = {"per_task": {"digit": {"lr": 0.1}}}
    c, overrides = config.resolve(recipe(optimizer=per_task), ["--config.tasks=inpaint"])
    assert list(c.tasks) == ["inpaint"]
    assert list(c.observations) == ["masked"]
    assert not c.compare
    assert not c.optimizer.per_task
    assert overrides == {"tasks": "inpaint"}
    assert refusal("--config.tasks=inpant").endswith("did you mean 'inpaint'?")
    assert "tasks is empty" in refusal("--config.tasks=")


def test_a_head_inherits_the_optimizer_where_kinds_agree():
    optimizer = {"lr": 0.01, "weight_decay": 0.5, "per_task": {"digit": {"lr": 0.1}, "deblur": {"kind": "sgd"}}}
    own = resolved(optimizer=optimizer).optimizer.per_task
    schedule = {"kind": "warmup_cosine", "warmup": 100}
    assert own.digit.to_dict() == {"kind": "adamw", "lr": 0.1, "weight_decay": 0.5, "b1": 0.9, "schedule": schedule}
    assert own.deblur.kind == "sgd"
    assert own.deblur.lr == 0.01
    assert "weight_decay" not in own.deblur


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--config.train.stesp=3", "unknown key 'stesp' in train (--config.train.stesp); did you mean 'steps'?"),
        ("--config.trian.steps=3", "unknown key 'trian' in config (--config.trian.steps); did you mean 'train'?"),
        ("--config.tasks.deblur.head.widht=3", "unknown key 'widht' in tasks.deblur.head"),
        ("--config.train.steps.x=3", "train.steps is a value, 1500, and has no keys"),
        ("--config.compare.deblur[7].rho=3", "compare.deblur has 2 entries"),
        ("--config.compare.deblur.rho=3", "unknown"),
        ("--config.model.encoder.kind=unett", "unknown model.encoder.kind 'unett'; did you mean 'unet'?"),
        ("--config.data.source=digits", "unknown data.source 'digits'; did you mean 'digit_scenes'?"),
        ("--config.tasks.deblur.loss=sim", "unknown loss 'sim' in tasks.deblur.loss; did you mean 'ssim'?"),
        (
            "--config.tasks.deblur.observation=blured",
            "unknown tasks.deblur.observation 'blured'; did you mean 'blurred'?",
        ),
        ("--config.train.precision=float23", "unknown train.precision 'float23'; did you mean 'float32'?"),
        ("--config.train.steps=1.5", "train.steps must be an integer, got '1.5'"),
        ("--config.optimizer.lr=abc", "optimizer.lr must be a number, got 'abc'"),
        ("--config.data.augment.flip=maybe", "data.augment.flip must be true or false, got 'maybe'"),
        ("--config.observations.blurred.noise.sigma=(1,2,3)", "must be a number or a tuple of 2, got (1, 2, 3)"),
        ("--config.train.steps=0", "train.steps must be at least 1, got 0"),
        ("--config.optimizer.lr=0", "optimizer.lr must be greater than 0"),
        ("--config.data.batch_size=0", "data.batch_size must be at least 1, got 0"),
        ("--config.optimizer.per_task.digt.lr=1", "unknown task 'digt' in optimizer.per_task; did you mean 'digit'?"),
        ("--config.model=3", "model"),
        ("--confg.train.steps=3", "unknown flag --confg.train.steps"),
        ("word", "unexpected 'word'"),
        ("--config.model.encoder.kind=no.such.module:Net", "cannot import 'no.such.module'"),
        ("--config.model.encoder.kind=json:dump_", "json has no 'dump_'; did you mean 'dump'?"),
    ],
)
def test_what_the_command_line_gets_wrong_is_one_line(arguments, message):
    assert message in refusal(*arguments.split())


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"trian": {}}, "unknown key 'trian'; did you mean 'train'?"),
        ({"train": {"stps": 3}}, "unknown key 'stps' in train; did you mean 'steps'?"),
        ({"train": {"steps": "3"}}, "train.steps must be an integer, got '3'"),
        ({"train": 3}, "train must be a mapping"),
        ({"model": {"encoder": {"kind": "unet", "widht": 3}}}, "unknown parameter of 'unet' 'widht' in model.encoder"),
        ({"model": {"encoder": "unet"}}, "model.encoder must be a mapping, such as dict(kind=...), got 'unet'"),
        ({"model": {"encoder": {"kind": 3}}}, "model.encoder.kind must be a name, got 3"),
        ({"tasks": {}}, "tasks is empty"),
        ({"tasks": {"a b": {}}}, "tasks has the name 'a b'"),
        ({"tasks": {"deblur": {"observation": "blurred"}}}, "tasks.deblur.kind is missing"),
        ({"tasks": {"deblur": {"kind": "reconstruction"}}}, "tasks.deblur.observation is missing"),
        ({"observations": {"blurred": {"operator": {"kind": "blur"}}}}, "observations.blurred.noise is missing"),
        ({"compare": {"deblr": []}}, "unknown task 'deblr' in compare; did you mean 'deblur'?"),
        ({"compare": {"deblur": {"kind": "wiener"}}}, "compare.deblur must be a list of solvers"),
        (
            {"compare": {"deblur": [{"kind": "winer"}]}},
            "unknown compare.deblur[0].kind 'winer'; did you mean 'wiener'?",
        ),
        ({"data": {"augment": {"flp": True}}}, "unknown key 'flp' in data.augment; did you mean 'flip'?"),
    ],
)
def test_what_a_file_gets_wrong_is_one_line(sections, message):
    assert message in refusal(**sections)


def test_losses_by_name_by_weight_and_with_parameters():
    def loss(value):
        tasks = {"deblur": {"kind": "reconstruction", "observation": "blurred", "loss": value}}
        return config.resolve({**recipe().to_dict(), "tasks": tasks})[0].tasks.deblur.loss.to_dict()

    assert loss({"l1": 1, "ssim": 0.2}) == {"l1": 1.0, "ssim": 0.2}
    assert loss({"kind": "focal"}) == {"kind": "focal", "gamma": 2.0}
    with pytest.raises(config.ConfigError, match=r"unknown loss 'sim' in tasks.deblur.loss; did you mean 'ssim'"):
        loss({"sim": 1.0})
    with pytest.raises(config.ConfigError, match=r"tasks.deblur.loss.l1 must be a number, got 'x'"):
        loss({"l1": "x"})


def test_a_config_file_is_read_with_its_argument(tmp_path):
    file = tmp_path / "recipe.py"
    file.write_text("def get_config(size='64'):\n    return {'size': size}\n")
    assert config.read(str(file)) == {"size": "64"}
    assert config.read(f"{file}:128") == {"size": "128"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nothing_there", "recipe.py:1: No module named 'nothing_there'"),
        ("\ndef get_config():\n    return undefined", "recipe.py:3: NameError: name 'undefined' is not defined"),
        ("def get_config(:", "recipe.py:1: SyntaxError"),
        ("x = 1", "recipe.py has no function get_config()"),
    ],
)
def test_a_broken_config_file_is_one_line_with_its_place(tmp_path, text, message):
    file = tmp_path / "recipe.py"
    file.write_text(text)
    with pytest.raises(config.ConfigError) as caught:
        config.read(str(file))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_config_file_names_the_nearest(tmp_path):
    (tmp_path / "recipe.py").write_text("def get_config():\n    return {}\n")
    with pytest.raises(config.ConfigError, match=r"no config file .*recpie.py'; did you mean .*recipe.py'\?"):
        config.read(str(tmp_path / "recpie.py"))
    with pytest.raises(config.ConfigError, match="takes no argument, got '3'"):
        config.read(str(tmp_path / "recipe.py:3"))


def test_the_record_in_a_workdir_comes_back_as_it_was(tmp_path):
    c, overrides = config.resolve(recipe(), ["--config.data.augment.scale=(0.5,2)"])
    file = config.save(c, overrides, tmp_path / "run")
    assert config.load(tmp_path / "run").to_dict() == c.to_dict()
    content = json.loads(file.read_text())
    assert content["overrides"] == {"data.augment.scale": [0.5, 2.0]}
    assert content["versions"]["jax"]
    assert content["backend"] == "cpu"
    config.save(c, overrides, tmp_path / "run")


def test_a_workdir_belongs_to_one_run(tmp_path):
    config.save(*config.resolve(recipe()), tmp_path)
    config.save(*config.resolve(recipe(), ["--config.train.log_every=7"]), tmp_path)
    assert config.load(tmp_path).train.log_every == 7
    with pytest.raises(config.ConfigError, match=r"optimizer.lr was 0.001, is 0.5; take another --workdir"):
        config.save(*config.resolve(recipe(), ["--config.optimizer.lr=0.5"]), tmp_path)
    with pytest.raises(config.ConfigError, match=r"model.encoder.patch was 'nothing', is 4"):
        config.save(*config.resolve(recipe(), ["--config.model.encoder.kind=transformer"]), tmp_path)


def test_a_folder_without_a_run_and_a_damaged_record_are_named(tmp_path):
    with pytest.raises(config.ConfigError, match="is not the workdir of a run"):
        config.load(tmp_path)
    (tmp_path / record.FILE).write_text("{")
    with pytest.raises(config.ConfigError, match=r"config.json is damaged"):
        config.load(tmp_path)


def test_what_is_not_data_is_refused_in_a_record():
    with pytest.raises(config.ConfigError, match="a config holds numbers"):
        record.as_json({"f": print})


def test_nearest_names():
    assert registry.nearest("Wiener", ["wiener", "admm"]) == "did you mean 'wiener'?"
    assert registry.nearest("zzz", ["b", "a"]) == "there is a, b"
    assert registry.nearest("zzz", []) == "there is none"


def test_conform_to_containers():
    assert checks.conform([1, 2], tuple[float, ...], "x") == (1.0, 2.0)
    assert checks.conform([], tuple[float, ...], "x") == ()
    with pytest.raises(config.ConfigError, match=r"x\[1\] must be a number, got 'a'"):
        checks.conform([1, "a"], tuple[float, ...], "x")
    with pytest.raises(config.ConfigError, match="x must be an integer, got True"):
        checks.conform(True, int, "x")
