"""The command line as a person meets it: what it prints, on which stream, and its exit codes."""

import subprocess
import sys
from pathlib import Path

import pytest

from mtjax import __version__, cli, commands, config, show

ROOT = Path(__file__).resolve().parent.parent
QUICKSTART = str(ROOT / "configs" / "quickstart.py")


@pytest.fixture(autouse=True)
def terminal_untouched(monkeypatch):
    """Commands change process-wide settings; tests must not."""
    monkeypatch.setattr(cli, "prepare", lambda debug: None)


def run(capsys, *words: str) -> tuple[int, str, str]:
    code = cli.main(words)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("trian", "unknown command 'trian'; did you mean 'train'?"),
        ("show confg", "unknown show 'confg'; did you mean 'config'?"),
        ("show", "show takes one word: config, data, model, devices, operators, solvers, tasks, weightings, networks"),
        ("train now", "unexpected 'now' after 'train'"),
        ("--workdir=a train", "the command comes first"),
        ("train --workdir=a", "mtjax train needs --config=CONFIG"),
        (f"train --config={QUICKSTART}", "mtjax train needs --workdir=WORKDIR"),
        (
            f"train --config={QUICKSTART} --workdri=a",
            "unknown flag --workdri of mtjax train; did you mean '--workdir'?",
        ),
        ("eval --workdir=", "--workdir needs a value"),
        ("eval --config.train.steps=3 --workdir=a", "unknown flag --config.train.steps of mtjax eval"),
        ("eval --workdir=a --split=tset", "unknown --split 'tset'; did you mean 'test'?"),
        ("compare --workdir=a --limit=0", "--limit=0"),
        ("compare --workdir=a --limit=many", "--limit=many"),
        ("show config --config=nothing.py", "no config file 'nothing.py'"),
        (f"show config --config={QUICKSTART} --config.train.stesp=3", "unknown key 'stesp' in train"),
        (
            f"show config --config={QUICKSTART} --config.model.encoder.kind=renset",
            "unknown model.encoder.kind 'renset'; did you mean 'resnet'?",
        ),
        (f"show config --config={QUICKSTART} --config.train.steps=few", "train.steps must be an integer, got 'few'"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_code_2(capsys, words, message):
    code, out, err = run(capsys, *words.split())
    assert code == 2
    assert not out
    assert err.startswith("mtjax: error: ")
    assert message in err
    assert err.count("\n") == 1


def test_help_and_version(capsys):
    assert run(capsys, "--version") == (0, f"mtjax {__version__}\n", "")
    code, out, err = run(capsys, "--help")
    assert code == 0
    assert not err
    assert all(name in out for name in commands.COMMANDS)
    for name in commands.COMMANDS:
        code, out, _ = run(capsys, *name.split(), "--help")
        assert code == 0
        assert out.startswith(f"usage: mtjax {name}")
    assert run(capsys)[0] == 2


def test_other_errors_are_one_line_and_code_1_with_a_traceback_only_for_debug(capsys, monkeypatch):
    def broken(arguments):
        raise RuntimeError("the disk\nis full")

    command = commands.Command("fails", (), (), broken)
    monkeypatch.setitem(commands.COMMANDS, "show devices", command)
    assert run(capsys, "show", "devices") == (1, "", "mtjax: error: RuntimeError: the disk\n")
    code, _, err = run(capsys, "show", "devices", "--debug")
    assert code == 1
    assert "Traceback" in err


def test_an_interrupt_is_code_130(capsys, monkeypatch):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setitem(commands.COMMANDS, "show devices", commands.Command("", (), (), interrupted))
    assert run(capsys, "show", "devices") == (130, "", "mtjax: interrupted\n")


def test_flags_reach_the_command(monkeypatch):
    seen = []
    command = commands.COMMANDS["compare"]
    fake = commands.Command(command.summary, command.needs, command.takes, lambda given: seen.append(given.flags) or 7)
    monkeypatch.setitem(commands.COMMANDS, "compare", fake)
    assert cli.main(["compare", "--workdir", "a b", "--single-task", "--limit=8"]) == 7
    assert seen == [{"workdir": "a b", "single_task": True, "limit": 8, "debug": False}]


def test_show_config_marks_what_the_command_line_changed(capsys):
    code, out, _ = run(
        capsys,
        "show",
        "config",
        f"--config={QUICKSTART}",
        "--config.train.steps=7",
        "--config.compare.deblur[0].kind=admm",
    )
    assert code == 0
    marked = [line.strip() for line in out.splitlines() if "command line" in line]
    assert marked == ["steps: 7   <- command line", "kind: 'admm'   <- command line"]


def test_show_names_every_solver_and_task(capsys):
    from mtjax.physics import NOISES, OPERATORS
    from mtjax.solvers import PRIORS, SOLVERS
    from mtjax.tasks import TASKS

    tables = {"solvers": [*SOLVERS, *PRIORS, "register"], "operators": [*OPERATORS, *NOISES], "tasks": TASKS}
    for name, table in tables.items():
        code, out, _ = run(capsys, "show", name)
        assert code == 0
        assert all(entry in out for entry in table)


def test_show_devices(capsys):
    code, out, _ = run(capsys, "show", "devices")
    assert code == 0
    assert "cpu" in out


TINY = """
import numpy as np
from mtjax.data import Source, SourceInfo


class Tiny(Source):
    def __init__(self, split, /, *, size: int = 16):
        self.info = SourceInfo("tiny", {"image": (size, size, 3), "label": ()}, {"label": ("a", "b")}, (size, size, 3))

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return {"image": np.full(self.info.image_shape, index, np.uint8), "label": np.int32(index % 2)}


def get_config():
    noisy = dict(operator=dict(kind="identity"), noise=dict(kind="gaussian", sigma=0.1))
    return dict(
        data=dict(source="tiny_recipe:Tiny", batch_size=2),
        observations=dict(noisy=noisy),
        tasks=dict(
            denoise=dict(kind="reconstruction", observation="noisy", head=dict(width=8, depth=1)),
            letter=dict(kind="classification", observation="noisy", head=dict(width=8)),
        ),
        model=dict(encoder=dict(kind="unet", width=8, depth=2)),
    )
"""


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A recipe whose data is a class of its own, named by its import path."""
    (tmp_path / "tiny_recipe.py").write_text(TINY)
    monkeypatch.syspath_prepend(tmp_path)
    return f"--config={tmp_path / 'tiny_recipe.py'}"


def test_show_data_writes_a_picture(capsys, tiny, tmp_path):
    picture = tmp_path / "new" / "batch.png"
    code, out, err = run(capsys, "show", "data", tiny, f"--out={picture}", "--config.data.size=24")
    assert code == 0, err
    assert picture.stat().st_size > 0
    assert "8 training examples" in out
    assert "24×24×3" in out


def test_show_model_counts_every_parameter_once(capsys, tiny):
    code, out, err = run(capsys, "show", "model", tiny)
    assert code == 0, err
    lines = [line.split() for line in out.splitlines()]
    sizes = {line[0]: int(line[2].replace(",", "")) for line in lines if len(line) > 2 and line[1] in KINDS}
    children = [line for line in out.splitlines() if line.startswith("  ")]
    total = next(line for line in lines if line and line[0] == "total")
    assert set(sizes) == {"encoder", "sharing", "denoise", "letter"}
    assert sum(sizes.values()) == int(total[1].replace(",", ""))
    assert sum(int(line.split()[1].replace(",", "")) for line in children) == sum(sizes.values())


KINDS = {"UNet", "Hard", "Decoder", "Pooled"}


def test_metrics_are_grouped_by_task(capsys):
    show.metrics({"deblur/psnr": 28.123456, "deblur/ssim": 0.9, "digit/accuracy": 1.0}, "test split")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["deblur", "psnr", "28.12", "ssim", "0.9"] in lines
    assert ["digit", "accuracy", "1"] in lines


def test_quantities():
    assert [show.quantity(n) for n in (0, 999, 1234, 5e6, 2.5e9)] == ["0", "999", "1.23 k", "5 M", "2.5 G"]


@pytest.mark.parametrize("file", sorted((ROOT / "configs").glob("*.py")), ids=lambda file: file.stem)
def test_every_config_resolves_and_says_its_command(file):
    changes = ["--config.data.path=photos"] if file.stem in ("denoise_folder", "multi_mnist") else []
    resolved, _ = config.resolve(config.read(str(file)), changes)
    assert resolved.tasks
    assert set(resolved.compare) <= set(resolved.tasks)
    assert f"mtjax train --config=configs/{file.name}" in config_docstring(file)


def test_every_task_of_everything_can_be_trained_alone():
    """Its counterpart, from which Δm is counted: what it reads stays as it is, and nothing else is left."""
    together, _ = config.resolve(config.read(str(ROOT / "configs" / "everything.py")))
    for name in together.tasks:
        raw = config.read(str(ROOT / "configs" / "everything.py"))
        alone, overrides = config.resolve(raw, [f"--config.tasks={name}"])
        assert overrides == {"tasks": name} and list(alone.tasks) == [name]
        assert alone.tasks[name] == together.tasks[name]
        observation = alone.tasks[name].observation
        assert alone.observations.to_dict() == {observation: together.observations[observation].to_dict()}
        assert set(alone.compare) == {name} & set(together.compare)
        for section in ("data", "model", "weighting", "optimizer", "train"):
            assert alone[section] == together[section]


def config_docstring(file: Path) -> str:
    return file.read_text().split('"""')[1]


def test_the_terminal_stays_quiet_and_the_config_light():
    """In a process of its own: nothing on standard error, and no heavy import before a command needs it."""
    code = (
        "import sys\nfrom mtjax import cli, commands\n"
        "heavy = {'jax', 'flax', 'optax', 'orbax', 'matplotlib', 'tensorflow', 'tensorflow_datasets', 'grain'}\n"
        "print(sorted(heavy & set(sys.modules)))\nsys.exit(cli.main(['show', 'devices']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[]\n")
    assert not done.stderr


def test_a_closed_pipe_is_no_traceback():
    command = f"{sys.executable} -m mtjax.cli show config --config={QUICKSTART} | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "data:\n"
    assert not done.stderr


def test_a_file_may_stand_before_or_behind_the_flags(capsys):
    for words in ("predict nothing.png --workdir=a", "predict --workdir=a nothing.png"):
        code, _, err = run(capsys, *words.split())
        assert code != 0 and "nothing.png" in err
