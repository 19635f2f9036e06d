"""Writes docs/ablation.md and its figures from the files of `mtjax ablate` that docs/results/ keeps.

    python docs/ablation.py                                        # the page, from what is kept
    python docs/ablation.py camvid=runs/camvid nyuv2=runs/nyuv2    # keeps what two workdirs hold first

`SECTIONS` says which names there are. No number is typed in by hand.
"""

import importlib.util
import json
import sys
from pathlib import Path

from mtjax.ablate import Ablation, from_json
from mtjax.ablate.figure import figure
from mtjax.ablate.table import ranked, to_markdown

DOCS = Path(__file__).resolve().parent
CHOSEN_ON, CHOSEN = "scenes", 3  # where the methods of the second part were chosen, and how many
# By the name of its file, docs/results/ablate_NAME.json: the recipe of configs/ that was ablated.
EVERY = {"scenes": "ablation_scenes", "multi_mnist_all": "multi_mnist"}
TUNED = {"multi_mnist": "multi_mnist", "camvid": "camvid", "nyuv2": "nyuv2"}
SECTIONS = {**EVERY, **TUNED}
FOLDERS = {"path", "data_dir"}  # keys of the section data

HEAD = """# Weightings, three seeds

Made by `python docs/ablation.py` from the files that `mtjax ablate` wrote; nothing here is typed in by hand. Every
method has the same budget, and so has every task alone. Read [multitask.md](multitask.md) for what the methods are and
what Δm is. With three seeds the interval of a difference is 4.3 standard errors either way, so "within noise" is the
usual verdict, and an honest one: a gain that is not told apart from `equal` here is no gain that these runs show. The
milliseconds were taken beside other work: `python benchmarks/weighting.py` compares what methods cost. The networks are
small and trained for a minute; nothing here speaks of long runs.
"""
EVERY_HEAD = """## Every weighting

One learning rate for all, which the tables name, and half of the recipe's steps (`--config.train.steps`).

What the two say together: no method is better than `equal` on both. On digits over photographs, where the digit starves
beside three dense tasks, seven are better by Δm; where single tasks are told apart, it is the digit that they gain in
and boundaries or sharpness that they lose in. One of the seven is `fixed` with weights of 1, which is `equal` times
four: the scale of the gradient alone, before it is clipped, is worth as much as most of these gains. On Multi-MNIST,
whose tasks are alike, none is better and eleven are worse.
"""
TUNED_HEAD = """## Real data, all tuned alike

Every task alone, `equal`, and {methods} on three real sets, each with the better
of two learning rates by the validation split. Why these methods: they are the {count} with the highest mean Δm (task)
on `configs/ablation_scenes.py`, which shares no picture with these sets; nothing was chosen by the tables below.

What the three say together: no difference from `equal` is told apart from noise, and the methods come in another order
on each. Networks with shared encoders are behind the tasks alone by all means of Δm (task) on Multi-MNIST and CamVid,
and ahead by all on NYUv2, with 37 to 55 % of the parameters. All rows but one task alone chose the larger learning
rate, so a still larger one, which was not tried, might serve them better.
"""


def kept_file(name: str) -> Path:
    """Where the numbers of a section are kept."""
    return DOCS / "results" / f"ablate_{name}.json"


def keep(name: str, workdir: Path) -> None:
    """Copies a workdir's ablation.json, a line for each part, without what is of no use to others.

    The summary follows from the rest, and the folders of the data are somebody's own.
    """
    if name not in SECTIONS:
        sys.exit(f"docs/ablation.py: unknown section {name!r}; there is {', '.join(SECTIONS)}")
    file = workdir / "ablation.json"
    if not file.is_file():
        sys.exit(f"docs/ablation.py: there is no {file}; `mtjax ablate --workdir={workdir}` writes it")
    tree = json.loads(file.read_text(encoding="utf-8"))
    del tree["summary"]
    for folder in FOLDERS & set(tree["config"]["data"]):
        del tree["config"]["data"][folder]
    parts = (f'"{key}":{json.dumps(value, separators=(",", ":"))}' for key, value in tree.items())
    kept_file(name).write_text("{" + ",\n".join(parts) + "}\n", encoding="utf-8")


def load(name: str) -> Ablation:
    """The ablation that a section is about."""
    return from_json(json.loads(kept_file(name).read_text(encoding="utf-8")))


def section(name: str) -> str:
    """A recipe's title, its figure's place and its tables."""
    recipe = SECTIONS[name]
    tables = to_markdown(load(name)).strip()
    picture = f"![Δm and time of every method]({picture_file(name).name})"
    return f"### `configs/{recipe}.py`\n\n{title(recipe)}.\n\n{picture}\n\n{tables}\n"


def title(recipe: str) -> str:
    """The first line of a config's docstring."""
    spec = importlib.util.spec_from_file_location(recipe, DOCS.parent / "configs" / f"{recipe}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return (module.__doc__ or recipe).strip().partition("\n")[0].rstrip(".")


def picture_file(name: str) -> Path:
    """Where a section's figure is."""
    return DOCS / f"ablation_{name}.png"


def page() -> str:
    """The whole page."""
    best = [f"`{found.method.label}`" for found in ranked(load(CHOSEN_ON))[:CHOSEN]]
    methods = f"{', '.join(best[:-1])} and {best[-1]}"
    tuned = TUNED_HEAD.format(methods=methods, count=CHOSEN)
    return "\n".join([HEAD, EVERY_HEAD, *map(section, EVERY), tuned, *map(section, TUNED)])


def main() -> None:
    """Keeps what is given, and writes the page and the figures."""
    for word in sys.argv[1:]:
        name, _, workdir = word.partition("=")
        if not workdir:
            sys.exit(f"docs/ablation.py: expected NAME=WORKDIR, such as camvid=runs/camvid, got {word!r}")
        keep(name, Path(workdir))
    (DOCS / "ablation.md").write_text(page(), encoding="utf-8")
    for name in SECTIONS:
        picture_file(name).write_bytes(figure(load(name)))


if __name__ == "__main__":
    main()
