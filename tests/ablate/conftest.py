"""An ablation whose runs have ended."""

import pytest
from finished_runs import World


@pytest.fixture
def world(tmp_path):
    """`equal` and `mgda`; each task alone has 2.0 and 4.0 on average."""
    made = World(tmp_path)
    made.ended("alone-deblur", {"deblur": (1.9, 2.0, 2.1)})
    made.ended("alone-digit", {"digit": (4.0, 4.0, 4.0)})
    made.ended("equal-hard", {"deblur": (2.0, 2.1, 2.2), "digit": (4.0, 4.4, 4.8)})
    made.ended("mgda-hard", {"deblur": (2.2, 2.3, 2.4), "digit": (4.0, 4.4, 4.8)})
    for name, seconds in (("alone-deblur", 0.01), ("alone-digit", 0.02), ("equal-hard", 0.015), ("mgda-hard", 0.018)):
        made.cost(name, seconds)
    return made
