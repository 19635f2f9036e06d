"""What is compared: each method is one function from an observation to an image, compiled once, used for everything."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mtjax import metrics, solvers
from mtjax.data import Source, collate
from mtjax.physics import Downsample, Frames, Observed, split_frames
from mtjax.solvers.tuning import grid_search
from mtjax.train import Trained
from mtjax.typing import Array, Batch, Bool, Float

REPEATS = 5
EDGE = 1e-3  # how near to the end of its range, as a share of it, a parameter counts as at the edge


@dataclasses.dataclass(frozen=True)
class Method:
    """A way back from an observation.

    run: `(arguments, observed) -> image [B, H, W, C]`; pure. arguments: what it is called with: a solver's parameters,
    a network's. ranges: the arguments to be searched for, with the lowest and the highest value. detail: what
    else the page says of it.
    """

    name: str
    family: str
    run: Callable[[Any, Observed], Array]
    arguments: Any = dataclasses.field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    parameters: Mapping[str, int] = dataclasses.field(default_factory=dict)
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class Case:
    """A batch of images observed once, for every method alike; `valid` is False for what fills up the last batch."""

    observed: Observed
    clean: Float[Array, "B H W C"]
    valid: Bool[np.ndarray, "B"]


def batches(source: Source, indices: np.ndarray, size: int) -> Iterator[tuple[Batch, Bool[np.ndarray, "B"]]]:
    """The examples `indices` of a source, `size` at a time, and which rows count: the last batch is filled up."""
    for start in range(0, len(indices), size):
        wanted = indices[start : start + size]
        filled = np.concatenate([wanted, np.repeat(wanted[:1], size - len(wanted))])
        batch = collate([source[int(i)] for i in filled], source.info)
        yield {**batch, "index": filled.astype(np.int32)}, np.arange(size) < len(wanted)


def baseline(observed: Observed, clean: Array) -> Method:
    """The observation itself where it is an image of the right size, and bicubic interpolation where it is not."""
    if getattr(observed.y, "shape", None) == clean.shape:
        return Method("observed", "observed", lambda _, seen: seen.y)
    if isinstance(operator := observed.operator, Frames):
        count = operator.count

        def first_frame(_: Any, seen: Observed) -> Array:
            return jax.image.resize(split_frames(seen.y, count)[..., 0, :, :, :], clean.shape, "cubic")

        return Method("first frame, bicubic", "observed", first_frame)
    if not isinstance(observed.operator, Downsample):
        return Method("adjoint", "observed", lambda _, seen: seen.operator.adjoint(seen.y))
    return Method("bicubic", "observed", lambda _, seen: solvers.bicubic(seen.y, seen.operator).image)


def solver(node: Mapping[str, Any]) -> Method:
    """The solver of a config node; parameters that the node leaves open are to be searched for."""
    run, ranges = solvers.make(node)
    starts = {name: _middle(*span) for name, span in ranges.items()}
    return Method(
        name=solver_name(node),
        family="solver",
        run=lambda values, observed: run(observed.y, observed.operator, **values).image,
        arguments=arrays(starts),
        ranges=ranges,
    )


def solver_name(node: Mapping[str, Any]) -> str:
    """`wiener`, or `admm-tv` for one with a prior."""
    parts = [node, node.get("prior")]
    return "-".join(part["kind"].rpartition(":")[2] for part in parts if isinstance(part, Mapping) and "kind" in part)


def learned(trained: Trained, task: str) -> Method:
    """The network's head for `task`, from its observation alone: tasks that read another one are left out."""
    observation, restored = trained.tasks[task].observation, trained.tasks[task].restored
    assert restored is not None, task
    try:
        part = trained.model.reading(observation)
    except ValueError as error:
        raise ValueError(f"compare.{task}: {error}") from error

    def run(params: Any, observed: Observed) -> Array:
        return restored(part.apply(params, {observation: observed})[task])

    shared = {name: subtree for name, subtree in trained.params.items() if name != "heads"}
    counts = {"shared": _size(shared), "head": _size(trained.params["heads"][task])}
    detail = f"{trained.tasks[task].head['kind']} head"
    return Method("learned", "learned", run, trained.params, parameters=counts, detail=detail)


class Compiled:
    """A method compiled for one shape of batch, on which it is tuned, scored and timed."""

    def __init__(self, method: Method, case: Case):
        self.method = method
        self._program = jax.jit(method.run).lower(method.arguments, case.observed).compile()
        memory = self._program.memory_analysis()
        self.working_bytes = float(memory.temp_size_in_bytes) / len(case.clean) if memory else float("nan")

    def __call__(self, arguments: Any, case: Case) -> Array:
        """The images of a batch."""
        return self._program(arguments, case.observed)

    def tune(self, cases: list[Case]) -> dict[str, float]:
        """The arguments with the best mean PSNR over `cases`; a method without ranges has none to find."""
        if not self.method.ranges:
            return {}

        def score(**values: Any) -> float:
            psnr, _, _ = self.score(arrays(values), cases)
            return float(psnr.mean())

        best, _, _ = grid_search(score, dict(self.method.ranges))
        return {name: float(value) for name, value in best.items()}

    def score(self, arguments: Any, cases: list[Case]) -> tuple[np.ndarray, np.ndarray, int]:
        """PSNR [N] and SSIM [N] of the images that are `valid`, and how many of them had pixels that are not finite."""
        pending = [(measure(self(arguments, case), case.clean), case.valid) for case in cases]
        psnr, ssim, broken = (np.concatenate([np.asarray(m[i])[v] for m, v in pending]) for i in range(3))
        return psnr, ssim, int(broken.sum())

    def milliseconds(self, arguments: Any, case: Case) -> float:
        """Time per image in a whole batch."""
        return milliseconds(lambda: self(arguments, case)) / len(case.clean)


def milliseconds(call: Callable[[], Any]) -> float:
    """The median time of some calls, after one to warm up."""
    jax.block_until_ready(call())
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds)


@jax.jit
def measure(
    image: Float[Array, "B H W C"], clean: Float[Array, "B H W C"]
) -> tuple[Float[Array, "B"], Float[Array, "B"], Bool[Array, "B"]]:
    """PSNR and SSIM of the shown image, and whether the given one had pixels that are not finite."""
    image_shown = shown(image)
    broken = ~jnp.all(jnp.isfinite(image), axis=(1, 2, 3))
    return metrics.psnr(image_shown, clean), metrics.ssim(image_shown, clean), broken


def shown(image: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
    """The image clipped to [0, 1], as it would be stored; one with a pixel that is not finite is black."""
    good = jnp.all(jnp.isfinite(image), axis=(1, 2, 3), keepdims=True)
    return jnp.where(good, jnp.clip(image, 0, 1), 0)


def at_edge(chosen: Mapping[str, float], ranges: Mapping[str, tuple[float, float]]) -> tuple[str, ...]:
    """The parameters whose chosen value is at either end of its range."""
    ends = {name: (ranges[name][0] * (1 + EDGE), ranges[name][1] * (1 - EDGE)) for name in chosen}
    return tuple(name for name, value in chosen.items() if not ends[name][0] < value < ends[name][1])


def _middle(low: float, high: float) -> float:
    return (low * high) ** 0.5


def arrays(values: Mapping[str, Any]) -> dict[str, Array]:
    """Solver parameters as arrays, so that other values compile nothing anew."""
    return {name: jnp.asarray(value, jnp.float32) for name, value in values.items()}


def _size(params: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))
