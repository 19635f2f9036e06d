"""`mtjax solve`: one photograph, what happened to it, and the solver that is to undo it.

The photograph is the observation `y`; `--operator` says how it came about, `--method` how to get `x` back.
"""

import ast
import dataclasses
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from mtjax import physics, solvers
from mtjax.physics.operator import Operator
from mtjax.registry import ConfigError, cut, lookup, nearest, one_line
from mtjax.schema import Completion, parameters
from mtjax.solvers.denoise import estimate_noise
from mtjax.solvers.selection import gcv
from mtjax.solvers.tuning import grid_search

WRITABLE = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp")
CHUNK = 10  # iterations between two looks at the progress bar
_CAPTION = 20  # pixels


@dataclasses.dataclass(frozen=True)
class Request:
    """What the command line asks for; `operator`, `method` and `prior` are the parameters given to each, as text."""

    photo: str
    out: str
    kinds: Mapping[str, str | None]  # of operator, method and prior
    texts: Mapping[str, Mapping[str, str]]
    kernel: str | None
    mask: str | None
    weight: str


def solve_command(request: Request) -> int:
    """Restores a photograph, writes it and a before/after picture, and says what was done."""
    out = Path(request.out)
    if out.suffix.lower() not in (*WRITABLE, ".npy"):
        raise ConfigError(f"--out={out}: cannot write {out.suffix or 'no suffix'!r}; {nearest(out.suffix, WRITABLE)}")
    y = read_observation(Path(request.photo), "the photograph")
    operator = make_operator(request, y)
    run, tunable, name = make_method(request)
    with Progress() as progress:
        values = choose_weight(request, run, tunable, y, operator, progress)
        solution = iterate(run, y, operator, values, progress)
    image = np.asarray(framed(solution.image, y, operator))
    write(out, image)
    beside = out.with_name(f"{out.stem}-before-after.png")
    before_after(np.asarray(y), image, name).save(beside)
    chosen = ", ".join(f"{key} {float(value):.3g}" for key, value in values.items())
    print(f"{name}{f' with {chosen}' if chosen else ''}: {solvers.status_name(solution.status)}")
    print(f"wrote {out} and {beside}")
    return 0


def read_observation(path: Path, what: str) -> Any:
    """[H, W, 1 or 3] from a picture, [H, W, C] from a .npy file [H, W] or [H, W, C]; else ConfigError."""
    from mtjax.data.sources.pictures import read_picture

    if not path.is_file():
        raise ConfigError(f"{what} {str(path)!r} is not a file")
    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                pixels = np.lib.format.read_array(file, allow_pickle=False)
        else:
            pixels = read_picture(path, 3, 2**31, 1)
    except Exception as error:  # a damaged header of an array is not even a SyntaxError
        raise ConfigError(f"{what} {str(path)!r} cannot be read: {one_line(error)}") from error
    known = np.issubdtype(pixels.dtype, np.inexact) or pixels.dtype == np.uint8
    if pixels.ndim not in (2, 3) or not pixels.size or not known:
        form = f"{pixels.dtype} {pixels.shape}"
        raise ConfigError(f"{what} {str(path)!r} is {cut(form)}; expected numbers [H, W] or [H, W, C]")
    pixels = pixels / np.float32(255) if pixels.dtype == np.uint8 else pixels
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    with np.errstate(over="ignore"):
        pixels = pixels.astype(np.complex64 if np.iscomplexobj(pixels) else np.float32)
    if not np.isfinite(pixels).all():
        raise ConfigError(f"{what} {str(path)!r} has numbers that are not finite, or too large for float32")
    gray = pixels.shape[-1] == 3 and (pixels == pixels[..., :1]).all()
    return jnp.asarray(pixels[..., :1] if gray else pixels)


def make_operator(request: Request, y: Any) -> Operator:
    """The operator that is asked for; a blur's unknown border is recovered unless another boundary is given."""
    kind, texts = request.kinds["operator"] or "identity", dict(request.texts["operator"])
    for flag, owner in (("kernel", "blur"), ("mask", "mask")):
        if getattr(request, flag) is not None and kind != owner:
            raise ConfigError(f"--{flag} belongs to --operator={owner}, not to --operator={kind}")
    if kind == "mask":
        if request.mask is None or texts:
            raise ConfigError("--operator=mask needs --mask=FILE, a picture that is white where pixels are known")
        known = read_observation(Path(request.mask), "the mask")[..., :1] > 0.5
        if known.shape[:2] != y.shape[:2]:
            raise ConfigError(f"--mask is {known.shape[:2]} pixels, the photograph {y.shape[:2]}; expected the same")
        return physics.Mask(known.astype(y.dtype))
    if kind == "blur":
        texts.setdefault("boundary", "valid")
        if request.kernel is not None:
            drawn = parameters(lookup(physics.OPERATORS, "blur", "--operator"))["kernel"][0].__args__
            if request.kernel in drawn and request.kernel != "file":
                texts["kernel"] = request.kernel
            else:
                texts |= {"kernel": "file", "path": request.kernel}
    node = completed("operator", kind, texts, "--operator")
    builder = lookup(physics.OPERATORS, node.pop("kind"), "--operator")
    operator = jax.tree.map(_only, builder(jax.random.split(jax.random.key(0), 1), y.shape, **node))
    if isinstance(operator, physics.Blur):
        rows, columns = operator.kernel.shape[-3:-1]
        if rows >= y.shape[0] or columns >= y.shape[1]:
            raise ConfigError(f"the kernel has {rows}x{columns} pixels, the photograph {y.shape[0]}x{y.shape[1]}")
    return operator


def _only(leaf: Any) -> Any:
    """What is drawn for each example, of the only one."""
    return leaf[0] if jnp.ndim(leaf) == 4 else leaf


def make_method(request: Request) -> tuple[Callable[..., Any], dict[str, tuple[float, float]], str]:
    """`solve(y, A, init?, **values)`, the parameters that it leaves open with their ranges, and its name."""
    kind = request.kinds["method"] or "admm"
    entry = lookup(solvers.SOLVERS, kind, "--method")
    texts: dict[str, Any] = dict(request.texts["method"])
    prior = request.kinds["prior"]
    if "prior" in parameters(entry):
        own = request.texts["prior"]
        texts["prior"] = {"kind": prior or "tv", **{key: _value(text) for key, text in own.items()}}
    elif prior is not None:
        raise ConfigError(f"--prior={prior} is not for --method={kind}, which has none")
    node = completed("solver", kind, texts, "--method", "--prior")
    given = {*request.texts["method"], *request.texts["prior"]}
    tunable = {name: span for name, span in entry.tunable.items() if name not in given}
    node = {key: value for key, value in node.items() if key not in tunable}
    if isinstance(node.get("prior"), Mapping):
        node["prior"] = {key: value for key, value in node["prior"].items() if key not in tunable}
    run, _ = solvers.make(node)
    return run, tunable, f"{kind}-{node['prior']['kind']}" if "prior" in node else kind


def completed(what: str, kind: str, texts: Mapping[str, Any], where: str, prior: str = "") -> dict[str, Any]:
    """The node of a kind with these parameters, checked, and completed by the defaults."""
    raw = {key: value if isinstance(value, Mapping) else _value(value) for key, value in texts.items()}
    try:
        return Completion().node({"kind": kind, **raw}, what, where)
    except ConfigError as error:
        raise ConfigError(str(error).replace(f"{where}.prior", prior or f"{where}.prior")) from error


def _value(text: str) -> Any:
    """The Python value that a text stands for: a number, a tuple, true, false; else the text itself."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except Exception:  # what is no literal, or too deep for the parser
        return text


def choose_weight(
    request: Request,
    run: Callable[..., Any],
    tunable: Mapping[str, tuple[float, float]],
    y: Any,
    operator: Operator,
    progress: "Progress",
) -> dict[str, Any]:
    """The parameters that the method leaves open: as given, or by the noise's level, or by cross-validation."""
    if request.weight != "auto":
        weight = _value(request.weight)
        if not tunable:
            raise ConfigError(f"--weight={request.weight}: the method has no weight that is not given already")
        if not isinstance(weight, int | float) or weight <= 0:
            raise ConfigError(f"--weight={request.weight} is not a weight; expected a positive number, or auto")
        return {next(iter(tunable)): jnp.asarray(weight, jnp.float32)}
    if list(tunable) == ["sigma"]:
        return {"sigma": estimate_noise(y)}
    key = jax.random.key(0)

    @jax.jit
    def score(y: Any, operator: Operator, values: Any) -> Any:
        return gcv(y, operator, lambda y, operator: run(y, operator, **values), key)

    def worth(**values: float) -> float:
        progress.step("choosing " + " and ".join(values))
        arrays = {name: jnp.asarray(value, jnp.float32) for name, value in values.items()}
        return -float(score(y, operator, arrays))

    if not tunable:
        return {}
    points, rounds = (7, 2) if len(tunable) == 1 else (4, 2)
    progress.begin(rounds * points ** len(tunable))
    best, _, _ = grid_search(worth, dict(tunable), points, rounds)
    return {name: jnp.asarray(value, jnp.float32) for name, value in best.items()}


def iterate(run: Any, y: Any, operator: Operator, values: Mapping[str, Any], progress: "Progress") -> Any:
    """The solution; of a method that can go on from an earlier one, in parts, so that progress can be seen."""
    count = run.keywords.get("iterations")
    positional = [p for p in inspect.signature(run).parameters.values() if p.kind == p.POSITIONAL_ONLY]
    if len(positional) < 3 or not isinstance(count, int):
        progress.begin(1)
        solution = jax.jit(lambda y, operator, values: run(y, operator, **values))(y, operator, values)
        progress.step("solving")
        return jax.block_until_ready(solution)

    def part(size: int) -> Any:
        return jax.jit(lambda y, operator, init, values: run(y, operator, init, **{**values, "iterations": size}))

    progress.begin(count)
    sizes = [CHUNK] * (count // CHUNK) + ([count % CHUNK] if count % CHUNK else [])
    programs = {size: part(size) for size in set(sizes)}
    solution = None
    for size in sizes:
        solution = jax.block_until_ready(programs[size](y, operator, solution, values))
        progress.step("solving", size)
    return solution


def framed(image: Any, y: Any, operator: Operator) -> Any:
    """The part of the image that the photograph shows: a blur whose border is recovered makes it larger."""
    if isinstance(operator, physics.Blur) and operator.boundary == "valid":
        return physics.Crop(operator.margins())(image)
    return image


def write(path: Path, image: np.ndarray) -> None:
    """The image as a picture of 8 bits, clipped; or whole, as a .npy file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".npy":
        np.save(path, image)
    else:
        shown(image).save(path)


def shown(image: np.ndarray) -> Image.Image:
    """The image as it can be seen: real, clipped to [0, 1]."""
    image = np.abs(image) if np.iscomplexobj(image) else image
    pixels = np.round(255 * np.clip(np.nan_to_num(image), 0, 1)).astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels[..., :3])


def before_after(before: np.ndarray, after: np.ndarray, name: str) -> Image.Image:
    """The observation and the image side by side, each under its name; the observation enlarged if it is smaller."""
    from PIL import ImageDraw

    left, right = shown(before).convert("RGB"), shown(after).convert("RGB")
    if left.size != right.size:
        left = left.resize(right.size, Image.Resampling.NEAREST)
    width, height = right.size
    sheet = Image.new("RGB", (2 * width + 4, height + _CAPTION), "white")
    draw = ImageDraw.Draw(sheet)
    for x, picture, caption in ((0, left, "before"), (width + 4, right, f"after: {name}")):
        sheet.paste(picture, (x, _CAPTION))
        draw.text((x + 4, 4), caption, fill="black")
    return sheet


class Progress:
    """A bar on the terminal (on standard error), one for each stage of the work."""

    def __enter__(self) -> "Progress":
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bars = Bars(*columns, console=Console(stderr=True))
        self._bars.start()
        self._task: Any = None
        return self

    def __exit__(self, *_: Any) -> None:
        if self._task is not None:
            self._bars.update(self._task, total=self._bars.tasks[self._task].completed)
        self._bars.stop()

    def begin(self, total: int) -> None:
        """A new stage of so many steps."""
        if self._task is not None:
            self._bars.update(self._task, total=self._bars.tasks[self._task].completed)
        self._task = self._bars.add_task("compiling", total=total)

    def step(self, doing: str, count: int = 1) -> None:
        """So many steps done."""
        self._bars.update(self._task, description=doing, advance=count)
