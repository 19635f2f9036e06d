"""What `mtjax show` and `mtjax eval` print: tables and pictures of what a config means, before anything runs."""

import inspect
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mtjax.registry import accepted, entry_function
from mtjax.schema import SECTIONS

Row = tuple[str, str, int, int | float]


def console() -> Console:
    """A console as wide as the terminal, or wide enough for any table where the output goes to a file."""
    plain = Console(highlight=False)
    return plain if plain.is_terminal else Console(highlight=False, width=160)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[str] = ()) -> Table:
    """A table; columns named in `numbers` are set flush right."""
    made = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in numbers else "left", no_wrap=column in numbers)
    for row in rows:
        made.add_row(*(escape(cell) for cell in row))
    return made


def config(config: Any, overrides: Mapping[str, Any]) -> None:
    """Prints the resolved config, section by section; what the command line changed is marked."""
    print("\n".join(config_lines(config, overrides)))


def config_lines(config: Any, overrides: Mapping[str, Any]) -> list[str]:
    """The lines of `config`."""
    lines: list[str] = []

    def add(value: Any, name: str, where: str, depth: int) -> None:
        mark = "   <- command line" if where in overrides else ""
        if isinstance(value, Mapping) and value:
            lines.append(f"{'  ' * depth}{name}:{mark}")
            for key in sorted(value, key=lambda key: (key != "kind", key)):
                add(value[key], key, f"{where}.{key}", depth + 1)
        elif isinstance(value, list) and value:
            lines.append(f"{'  ' * depth}{name}:{mark}")
            for i, item in enumerate(value):
                add(item, f"[{i}]", f"{where}[{i}]", depth + 1)
        else:
            shown = repr(dict(value)) if isinstance(value, Mapping) else repr(value)
            lines.append(f"{'  ' * depth}{name}: {shown}{mark}")

    for section in SECTIONS:
        add(config[section], section, section, 0)
    return lines


def data(config: Any, overrides: Mapping[str, Any], *, out: Path) -> None:
    """Writes the first training batch, with all that is known of it, as one picture."""
    del overrides
    from PIL import Image

    from mtjax.data import build, preview
    from mtjax.data.pipeline import batch_at

    source = build(config.data, "train")
    batch = batch_at(source, config.data.batch_size, config.train.seed, 0)
    out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(preview.sheet(batch, source.info)).save(out)
    rows = [
        (name, str(batch[name].dtype), "×".join(map(str, shape)), ", ".join(source.info.class_names.get(name, ())))
        for name, shape in source.info.fields.items()
    ]
    screen = console()
    screen.print(
        table(f"{source.info.name}: {len(source)} training examples", ("field", "type", "shape", "classes"), rows)
    )
    screen.print(f"\nfirst batch: {out}", soft_wrap=True)


def model(config: Any, overrides: Mapping[str, Any]) -> None:
    """Prints parameters and operations per image of every module: encoder, sharing and the head of each task."""
    del overrides
    rows = model_rows(config)
    totals = [row for row in rows if "/" not in row[0]]
    rows.append(("total", "", sum(row[2] for row in totals), sum(row[3] for row in totals)))
    numbers = ("parameters", "FLOPs per image")
    shown = []
    for path, kind, parameters, flops in rows:
        *above, name = path.split("/")
        shown.append(("  " * len(above) + name, kind, f"{parameters:,}", quantity(flops)))
    console().print(table("model", ("module", "kind", *numbers), shown, numbers))


def model_rows(config: Any) -> list[Row]:
    """Path, kind, parameters and operations per image of each part of the network and of its direct children."""
    import jax

    from mtjax import flops
    from mtjax.data import build as build_source
    from mtjax.data import collate, to_device_batch
    from mtjax.train.build import build
    from mtjax.train.step import observe_for_evaluation

    source = build_source(config.data, "train")
    experiment = build(config, source.info, len(source))
    net = experiment.model

    def observe() -> Any:
        batch = to_device_batch(collate([source[0]], source.info))
        return observe_for_evaluation(experiment.observations, jax.numpy.zeros(1, jax.numpy.int32), batch)

    observed = jax.eval_shape(observe)
    params = jax.eval_shape(net.init, jax.random.key(0), observed)
    features = jax.eval_shape(net.encode, params, observed)

    def share(variables: Any, features: Any) -> Any:
        return net.sharing.apply({"params": variables}, features, net.feature_names, tuple(net.heads))

    shared = jax.eval_shape(share, params["sharing"], features)
    rows = part("encoder", net.encoder, params["encoder"], flops.by_module(net.encode, params, observed))
    rows += part("sharing", net.sharing, params["sharing"], flops.by_module(share, params["sharing"], features))
    for task, head in net.heads.items():
        own = params["heads"][task]
        counted = flops.by_module(head.apply, {"params": own}, shared[task][0], observed[net.reads[task]])
        rows += part(task, head, own, counted)
    return rows


def part(name: str, module: Any, params: Mapping[str, Any], flops: Mapping[str, int | float]) -> list[Row]:
    """The rows of one part of the network: its sum, then its direct children."""
    import jax

    def size(tree: Any) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(tree))

    root = type(module).__name__
    by_child: dict[str, int | float] = {}
    for scope, count in flops.items():
        inside = scope.split("/")
        child = inside[inside.index(root) + 1] if root in inside[:-1] else ""
        by_child[child] = by_child.get(child, 0) + count
    rows = [(name, root, size(params), sum(flops.values()))]
    rows += [(f"{name}/{child}", "", size(params[child]), by_child.get(child, 0)) for child in params]
    return rows


def quantity(number: int | float) -> str:
    """A number with a metric prefix: 1.23 M."""
    for prefix, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= scale:
            return f"{number / scale:.3g} {prefix}"
    return f"{number:.3g}"


def devices() -> None:
    """Prints the devices that JAX sees, and the versions in use."""
    import jax

    from mtjax.record import versions

    rows = []
    for device in jax.devices():
        stats = device.memory_stats() or {}
        memory = f"{stats['bytes_limit'] / 2**30:.1f} GiB" if "bytes_limit" in stats else ""
        rows.append((str(device.id), device.platform, device.device_kind, str(device.process_index), memory))
    screen = console()
    screen.print(table("devices", ("id", "platform", "kind", "process", "memory"), rows, ("memory",)))
    known = ", ".join(f"{name} {version}" for name, version in versions().items())
    screen.print(f"\npython {platform.python_version()}, {known}", soft_wrap=True)


def solvers() -> None:
    """Prints the solvers and priors that a config may name, and what else there is to call."""
    from mtjax.solvers import PRIORS, SOLVERS
    from mtjax.solvers.catalog import BESIDE

    rows = [
        (name, entry.problem, parameters(entry), ", ".join(entry.tunable), entry.source)
        for name, entry in SOLVERS.items()
    ]
    columns = ("solver", "problem", "parameters", "tuned by compare", "source")
    screen = console()
    screen.print(table("solvers", columns, rows))
    rows = [(name, summary(entry), parameters(entry)) for name, entry in PRIORS.items()]
    screen.print(table("\npriors", ("prior", "what it is", "parameters"), rows))
    rows = [(entry.__name__, summary(entry), ", ".join(inspect.signature(entry).parameters)) for entry in BESIDE]
    screen.print(table("\nfrom Python alone", ("function", "what it does", "parameters"), rows))


def operators() -> None:
    """Prints the operators and noises that a config may name."""
    from mtjax.physics import NOISES, OPERATORS

    screen = console()
    for title, registry in (("operators", OPERATORS), ("\nnoises", NOISES)):
        rows = [(name, summary(entry), parameters(entry)) for name, entry in registry.items()]
        screen.print(table(title, ("kind", "what it is", "parameters"), rows))


def weightings() -> None:
    """Prints the weightings that a config may name, with what every one of them also takes."""
    from mtjax.schema import WEIGHTING
    from mtjax.weighting import WEIGHTINGS

    needs = {"losses": "losses", "gram": "Gram matrix", "gradients": "gradients", "halves": "two half batches"}
    rows = []
    for name, entry in WEIGHTINGS.items():
        made = entry(("a", "b"))
        levels = "" if made.needs == "losses" else ", ".join(made.levels)
        rows.append((name, summary(entry), needs[made.needs], levels, parameters(entry)))
    screen = console()
    screen.print(table("weightings", ("kind", "what it is", "reads", "level", "parameters"), rows))
    common = ", ".join(f"{name}={default!r}" for name, (_, default) in WEIGHTING.items())
    screen.print(f"\nof every kind: {common}", soft_wrap=True)


def tasks() -> None:
    """Prints the kinds of tasks that a config may name: what each needs and gives, and its classical counterpart."""
    from mtjax.compare.counterparts import COUNTERPARTS
    from mtjax.tasks import TASKS

    info = every_field()
    classical = {name: entry().tasks for name, entry in COUNTERPARTS.items()}
    rows = []
    for kind, entry in TASKS.items():
        task = entry(kind, info, observation="observed")
        found = [name for name, kinds in classical.items() if kind in kinds]
        beside = ", ".join([*(["solvers"] if task.restores else []), *found])
        arrows = ", ".join(f"{name} {'↑' if way == 'higher' else '↓'}" for name, way in task.directions.items())
        rows.append((kind, summary(entry), ", ".join(task.fields), parameters(entry), arrows, beside or "none"))
    columns = ("kind", "what it is", "truth", "parameters", "metrics, the headline first", "compared with")
    console().print(table("tasks", columns, rows))


def every_field() -> Any:
    """What a source would say of itself that has every field there is."""
    from mtjax.data.fields import FIELDS, SourceInfo

    plane, names = (64, 64), ("a", "b", "c")
    shapes: dict[str, tuple[int, ...]] = {
        "image": (*plane, 3), "label": (), "parity": (), "boxes": (3, 4), "box_labels": (3,), "present": (3,),
        "normals": (*plane, 3), "flow": (*plane, 2), "previous": (*plane, 3), "reference": (*plane, 3),
        "clip": (5, *plane, 3),
    }  # fmt: skip
    classes = {"label": names, "parity": names[:2], "box_labels": names, "present": names, "segments": names}
    return SourceInfo("any source", {field: shapes.get(field, plane) for field in FIELDS}, classes, (*plane, 3))


def networks() -> None:
    """Prints the encoders, the ways of sharing them and the heads that a config may name."""
    from mtjax.models import ENCODERS, HEADS, SHARINGS

    screen = console()
    for title, registry in (("encoders", ENCODERS), ("\nsharings", SHARINGS), ("\nheads", HEADS)):
        rows = [(name, summary(entry), parameters(entry)) for name, entry in registry.items()]
        screen.print(table(title, ("kind", "what it is", "parameters"), rows))


def metrics(values: Mapping[str, float], title: str) -> None:
    """Prints metrics named "TASK/METRIC", one line per task."""
    by_task: dict[str, list[str]] = {}
    for name, value in values.items():
        task, _, metric = name.rpartition("/")
        by_task.setdefault(task, []).append(f"{metric} {value:.4g}")
    console().print(table(title, ("task", "metrics"), [(task, "   ".join(cells)) for task, cells in by_task.items()]))


def parameters(entry: Any) -> str:
    """The parameters of a registry entry with their defaults, as a config would give them."""
    shown = []
    for name, parameter in accepted(entry).items():
        default = parameter.default
        if isinstance(default, Mapping) and "kind" in default:
            default = f"{default['kind']}(...)" if len(default) > 1 else default["kind"]
        elif default is not inspect.Parameter.empty:
            default = repr(default)
        shown.append(name if default is inspect.Parameter.empty else f"{name}={default}")
    return ", ".join(shown)


def summary(entry: Any) -> str:
    """The first line of a registry entry's docstring."""
    return (inspect.getdoc(entry_function(entry)) or "").partition("\n")[0]
