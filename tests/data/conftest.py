"""A small digit_scenes, made once per test run."""

import pytest

from mtjax import data

SCENES = {"source": "digit_scenes", "size": 32, "train": 30, "validation": 8, "test": 8}


@pytest.fixture(scope="session")
def scenes_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("scenes")
    data.build({**SCENES, "data_dir": str(path)}, "train")
    return path


@pytest.fixture
def scenes(scenes_dir):
    """split -> source."""
    return lambda split: data.build({**SCENES, "data_dir": str(scenes_dir)}, split)
