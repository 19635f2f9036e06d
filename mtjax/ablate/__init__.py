"""Which weighting, which sharing? Every task alone and every combination, under one budget, over several seeds.

`make_plan` says what is run, `make_runs` runs it, `collect` reads what came of it; `ablate_command` is `mtjax ablate`.
"""

from mtjax.ablate.command import ablate_command, write
from mtjax.ablate.plan import make_plan
from mtjax.ablate.results import Ablation, collect, from_json
from mtjax.ablate.run import make_runs

__all__ = ["Ablation", "ablate_command", "collect", "from_json", "make_plan", "make_runs", "write"]
