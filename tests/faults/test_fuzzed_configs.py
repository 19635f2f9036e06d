"""Some hundred maimed configs, command lines and workdirs: each resolves, or is refused in one line."""

import collections
import random

import fuzz
import garbage_configs
import pytest

from mtjax import config, record
from mtjax.data.fields import SourceInfo
from mtjax.registry import ConfigError, one_line
from mtjax.train.build import build

INPUTS = {"config": 25, "command line": 40, "workdir": 30}


@pytest.mark.parametrize("kind", INPUTS)
def test_a_maimed_config_resolves_or_is_refused_in_one_line(kind, tmp_path):
    outcomes = collections.Counter(fuzz.once(kind, 0, number, tmp_path) for number in range(INPUTS[kind]))
    assert outcomes["ConfigError"] and len(outcomes) == 2, outcomes


def test_nothing_that_is_no_config_is_a_traceback():
    deep = garbage_configs.nested(100_000)
    inside = ({"train": deep}, {"train": {"steps": deep}}, {"data": {"source": deep}})
    for raw in (*(make() for make in garbage_configs.PYTHON), deep, *inside, None, 3):
        with pytest.raises(ConfigError) as caught:
            config.resolve(raw)
        assert one_line(caught.value).isprintable()


SIDES = (32, 32)
MAPS = ("segments", "boundary")
CLASSES = {"label": ("a", "b", "c"), "segments": ("background", "a", "b", "c")}
INFO = SourceInfo("blank", {"image": (*SIDES, 3), "label": (), **dict.fromkeys(MAPS, SIDES)}, CLASSES, (*SIDES, 3))
NUMBERS = (-1, 0, 3, 2**31, 2**62, 1e308, -1.5, True, (), "x", (1, 2), 1e-300)


def test_what_resolves_is_built_or_refused_in_one_line():
    """Configs with wrong numbers for the most part, which only those that use them can refuse."""
    outcomes = collections.Counter()
    stems = [file.stem for file in garbage_configs.CONFIGS]
    quickstart = record.from_json(garbage_configs.examples()[stems.index("quickstart")])
    for number in range(50):
        rng = random.Random(number)
        try:
            resolved, _ = config.resolve(garbage_configs.maimed(rng, quickstart, lambda rng=rng: rng.choice(NUMBERS)))
        except ConfigError:
            continue
        try:
            build(resolved, INFO, 100)
        except ValueError as error:
            assert one_line(error).isprintable()
            outcomes["refused"] += 1
        else:
            outcomes["built"] += 1
    assert outcomes["built"], outcomes
