"""What the README shows is run as it stands there."""

import json
import pathlib
import re

import pytest

from mtjax.cli import main

ROOT = pathlib.Path(__file__).resolve().parent.parent
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
SMALL = [
    "--config.data.size=16", "--config.data.train=16", "--config.data.validation=4", "--config.data.test=4",
    "--config.data.batch_size=4", "--config.data.eval_batch_size=4", "--config.train.steps=4",
    "--config.model.encoder.width=4", "--config.model.encoder.depth=2",
]  # fmt: skip


def block(containing):
    (found,) = [text for text in BLOCKS if containing in text]
    return found


@pytest.mark.filterwarnings("default")
def test_the_solver_example(capsys):
    exec(compile(block("from mtjax import physics, solvers"), "README.md", "exec"), {})
    assert "(64, 64, 3) iteration_limit" in capsys.readouterr().out


def test_the_task_example_is_short_and_trains(tmp_path, monkeypatch):
    text = block("from mtjax.tasks import Task")
    assert len(text.splitlines()) <= 40
    (tmp_path / "layers.py").write_text(text)
    monkeypatch.setenv("MTJAX_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--config=layers.py", "--workdir=run", *SMALL]) == 0
    results = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert set(results["test"]) == {"layers/error", "layers/loss"}


def test_every_command_names_a_file_that_is_there():
    text = (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    for name in re.findall(r"(?:configs|launch|benchmarks|tests)/[\w/]+\.(?:py|sh)", text):
        assert (ROOT / name).exists(), name
