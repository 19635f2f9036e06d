"""The comparison as one HTML page that needs nothing beside itself: no script, no request, pictures inside."""

import base64
import json
from html import escape
from typing import Any

from mtjax.compare.results import Comparison, LabelComparison, Row, TaskComparison, Together
from mtjax.compare.table import delta_m_lines, describe, label_cells, label_notes, note_lines

STYLE = """
:root { color-scheme: light; --ink: #1c2430; --faint: #64707e; --line: #dfe4ea; --good: #0a7a4b; --wash: #f2f8f5; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 68rem; color: var(--ink); background: #fff;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.3rem; margin: 3rem 0 .25rem; padding-top: 1.5rem; border-top: 1px solid var(--line); }
p { margin: .5rem 0; max-width: 46rem; }
.faint { color: var(--faint); font-size: .92rem; }
.verdict { font-size: 1.08rem; margin: 1rem 0; padding: .7rem 1rem; background: #f5f7f9;
  border-left: 4px solid #9aa7b4; }
.verdict.better { background: var(--wash); border-color: var(--good); }
.verdict.worse { background: #fdf3f2; border-color: #b8433a; }
.warning { margin: .5rem 0; padding: .5rem .9rem; background: #fff8e6; font-size: .95rem;
  border-left: 4px solid #d9a514; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .95rem; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .9rem .4rem 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; border-bottom: 2px solid var(--ink); vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
td small { color: var(--faint); font-size: .85em; margin-left: .3em; }
tr.learned td { background: var(--wash); font-weight: 600; }
tr.learned td small { font-weight: 400; }
img { display: block; max-width: 100%; height: auto; margin: 1rem 0; border: 1px solid var(--line); }
pre { overflow-x: auto; padding: 1rem; background: #f5f7f9; font-size: .85rem; line-height: 1.45; }
summary { cursor: pointer; font-weight: 600; }
"""


def page(comparison: Comparison, figures: dict[str, bytes]) -> str:
    """The whole page; `figures` holds a PNG for each task."""
    tasks = ", ".join(task.task for task in comparison.tasks) or "nothing"
    warnings = "".join(f'<p class="warning">{escape(line)}</p>' for line in comparison.warnings)
    sections = "".join(task_section(task, figures[task.task]) for task in comparison.tasks)
    labels = "".join(label_section(label) for label in comparison.labels)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>mtjax: was learning worth it? {escape(tasks)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>Was learning worth it?</h1>
<p>A network with one shared encoder and classical solvers were given the same observations of the same test images.
This page says what each made of them, how sure that is, and what it took.</p>
{warnings}{sections}{labels}{together_section(comparison.together)}{method_section(comparison)}
</body>
</html>
"""


def task_section(task: TaskComparison, figure: bytes) -> str:
    """One task: the verdict, the table, the pictures."""
    tone = {True: " better", False: " worse", None: ""}[task.better]
    solvers = any(row.scores.family == "solver" for row in task.rows)
    reference = "the best solver on these test images, a choice that favors the solvers" if solvers else "the baseline"
    notes = "".join(f"<li>{escape(line)}</li>" for line in note_lines(task))
    picture = base64.b64encode(figure).decode()
    return f"""
<section>
<h2>{escape(task.task)}</h2>
<p class="faint">{escape(describe(task.observation))}; {task.test_images} test images.</p>
<p class="verdict{tone}">{escape(capital(task.verdict))}.</p>
{task_table(task)}
<p class="faint">In brackets: 95 % bootstrap intervals over images, which count as independent: crops of one
photograph are not quite. Differences are taken image by image, to {escape(task.reference)},
{reference}. Milliseconds are per image in a compiled batch of {task.batch_size}, after
warm-up; KiB are the scratch memory of that program.</p>
<ul class="faint">{notes}</ul>
<img src="data:image/png;base64,{picture}" alt="What each method made of three test images">
<p class="faint">The test images on which the network did worst, median and best against {escape(task.reference)}, in
PSNR. Below each result its absolute error, averaged over channels, on one scale for all.</p>
</section>
"""


def label_section(task: LabelComparison) -> str:
    """One task that gives no image: the verdict and the table."""
    tone = {True: " better", False: " worse", None: ""}[task.learned_is_better]
    names = [f"{name} {'↑' if way == 'higher' else '↓'}" for name, way in task.better.items()]
    head = "".join(f"<th>{escape(heading)}</th>" for heading in ("method", *names, "ms / image"))
    body = ""
    for row in task.rows:
        kind = ' class="learned"' if row.name == "learned" else ""
        shown = "".join(f"<td>{escape(cell)}</td>" for cell in (row.name, *label_cells(task, row)))
        body += f"<tr{kind}>{shown}</tr>"
    notes = "".join(f"<li>{escape(line)}</li>" for line in label_notes(task))
    return f"""
<section>
<h2>{escape(task.task)}</h2>
<p class="faint">{escape(task.kind)}; {task.test_images} test images.</p>
<p class="verdict{tone}">{escape(capital(task.verdict))}.</p>
<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>
<p class="faint">Metrics are of all test images together; in brackets, the 95 % bootstrap interval of the difference
over images. Counterparts run on the host, one image at a time.</p>
<ul class="faint">{notes}</ul>
</section>
"""


def task_table(task: TaskComparison) -> str:
    """The methods of one task."""
    headings = ("method", "PSNR, dB", "SSIM", f"dB over {task.reference}", "ms / image", "KiB / image")
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(task_row(row) for row in task.rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def task_row(row: Row) -> str:
    """One method's line."""
    scores = row.scores

    def interval(value: Any, digits: int, sign: str = "") -> str:
        span = f"[{value.low:{sign}.{digits}f}, {value.high:{sign}.{digits}f}]"
        return f"{value.mean:{sign}.{digits}f}<small>{span}</small>"

    cells = (
        escape(scores.name),
        interval(row.psnr, 2),
        interval(row.ssim, 3),
        interval(row.difference, 2, "+") if row.difference else "reference",
        f"{scores.milliseconds:.3g}",
        f"{scores.working_bytes / 1024:,.0f}",
    )
    kind = ' class="learned"' if scores.family == "learned" else ""
    return f"<tr{kind}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def together_section(together: Together) -> str:
    """Every task's metrics, learned together and alone."""
    if not together.metrics:
        return ""
    rows = []
    for name, (value, alone, higher) in together.metrics.items():
        beside = "not trained alone" if alone is None else f"{alone:.4g}"
        direction = "higher" if higher else "lower"
        rows.append(f"<tr><td>{escape(name)}</td><td>{value:.4g}</td><td>{beside}</td><td>{direction}</td></tr>")
    deltas = "".join(f"<p>{escape(line)}.</p>" for line in delta_m_lines(together))
    without = "" if deltas else '<p class="faint">No task was trained alone; <code>--single-task</code> does so.</p>'
    return f"""
<section>
<h2>Every task</h2>
<p>Metrics of all heads over the whole test split, beside the same heads trained alone with the same recipe.</p>
<table><thead><tr><th>metric</th><th>together</th><th>alone</th><th>better is</th></tr></thead>
<tbody>{"".join(rows)}</tbody></table>
{deltas}{without}
</section>
"""


def method_section(comparison: Comparison) -> str:
    """How it was done, and the config."""
    where = comparison.environment
    cores = f" with {where['cores']} cores" if where["platform"] == "cpu" else ""
    device = escape(where["device"] + cores)
    config = escape(json.dumps(comparison.config, indent=2, default=str))
    step = "" if comparison.step is None else f" The network is the checkpoint of step {comparison.step}."
    return f"""
<section>
<h2>How this was done</h2>
<p>Each test image was observed once, with a degradation that depends on its index alone (seed
{comparison.evaluation_seed}), and every method was given that observation.{step} Results are clipped to [0, 1] before
they are scored. SSIM uses an 11×11 Gaussian window of σ = 1.5. Open solver parameters were chosen on
validation images, one value for all test images.</p>
<p>Times were taken on {device}, with JAX {escape(where["jax"])}; on other hardware their order may change. Time
spent on training and on choosing parameters is not in them.</p>
<details><summary>Config</summary><pre>{config}</pre></details>
</section>
"""


def capital(text: str) -> str:
    """The text with its first letter as a capital."""
    return text[:1].upper() + text[1:]
