"""How long a step takes on many accelerators, from the bytes it sends: no more than its assumptions, which are here.

1. A device computes, then communicates; nothing overlaps. (Real programs hide part of it: this is the pessimist's.)
2. A collective over n devices takes `sent / bandwidth + latency · log₂ n`. What a device sends is what the best
   algorithms send: 2(n−1)/n of an all-reduce (Thakur, Rabenseifner and Gropp, 2005), (n−1)/n of an all-to-all.
3. Up to `node` devices the bandwidth is that of the link within a node, beyond it that of a device's share of the
   network, which is taken to be free of contention. On a torus an all-to-all beyond a few devices is bound by what
   crosses the middle: of a cube of side k = ∛n each half sends n/4 of its payloads over 2k² links, so that it takes
   k/8 payloads over one link.
4. A network computes at `utilization` of the peak; ADMM at the speed of memory, in `PASSES` passes per iteration.
5. The image's height is divisible, no device is slower than others, and input never waits.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from mtjax.communication import Collective

# An iteration reads or writes the image that often, float32: 4 images in and out of each pass over a transform's axis
# (rows, columns, and back) with the copies of the exchanges, and 8 for v, its remainder, both differences and sums.
PASSES = 24


@dataclasses.dataclass(frozen=True)
class Chip:
    """An accelerator and its links: FLOP/s, and bytes per second in one direction.

    flops: of matrix products, dense, in the precision of the recipe; memory: of device memory; near: of the links
    within a node; far: of a device's share of the network; torus: there are no nodes, and `far` is of one link.
    """

    name: str
    flops: float
    memory: float
    near: float
    far: float
    node: int
    latency: float
    torus: bool = False

    def described(self) -> str:
        """All of it in one line."""
        return (
            f"{self.name}: {self.flops / 1e12:.0f} TFLOP/s, memory {self.memory / 1e12:.2f} TB/s, links "
            f"{self.near / 1e9:.0f} GB/s up to {self.node} devices, {self.far / 1e9:.0f} GB/s beyond, "
            f"latency {1e6 * self.latency:.0f} us"
        )

    def seconds(self, collective: Collective, count: int) -> float:
        """Of one run of a collective, its payload as it is, over so many devices."""
        if count == 1:
            return 0.0
        sent = collective._replace(group=count).sent
        bandwidth = self.near if count <= self.node else self.far
        crossing = sent / bandwidth
        if self.torus and collective.kind == "all-to-all":
            crossing = max(crossing, collective.payload * count ** (1 / 3) / 8 / self.far)
        return crossing + self.latency * math.log2(count)


# Published: NVIDIA H100 SXM data sheet (TF32 dense 494, HBM3 3.35 TB/s, NVLink 900 GB/s in both directions together);
# one ConnectX-7 of 400 Gb/s for each GPU, as in a DGX H100. Google Cloud's TPU v5p page (459 TFLOP/s bf16, 2.765 TB/s);
# links of 90 GB/s in each direction, two of them along an axis of the torus, from "How to scale your model" (Austin et
# al., 2025). Latencies are assumed: a few microseconds for NCCL, one for a hop of the torus.
CHIPS = {
    "h100": Chip("H100", 494e12, 3.35e12, 450e9, 50e9, 8, 5e-6),
    "v5p": Chip("TPU v5p", 459e12, 2.765e12, 180e9, 180e9, 8960, 1e-6, torus=True),
}


def chip(name: str) -> Chip:
    """By its name; exits with those there are."""
    if name not in CHIPS:
        raise SystemExit(f"--chip={name}: expected one of {', '.join(CHIPS)}")
    return CHIPS[name]


@dataclasses.dataclass(frozen=True)
class Training:
    """A step: seconds at the peak for one example, and the collectives that were counted.

    Exchanges and what is passed on are taken to be of activations, and grow with the examples of a device; sums and
    gathers to be of the state. A CPU's compiler leaves a sum of which each device needs its part alone an all-reduce.
    """

    flops: float  # of an example
    utilization: float
    collectives: list[Collective]
    each: int  # examples of a device with which they were counted

    @classmethod
    def counted(cls, row: dict[str, Any], count: int, each: int, utilization: float) -> "Training":
        """From a measured row, on `count` devices; payloads of all-gathers are made those of `count` = 1."""
        collectives = []
        for fields in row["collectives"]:
            one = Collective(*fields)
            whole = one.payload * count if one.kind == "all-gather" else one.payload
            collectives.append(one._replace(payload=whole))
        return cls(row["flops"] / each, utilization, collectives, each)

    def seconds(self, chip: Chip, count: int, each: float) -> float:
        """Of a step with `each` examples per device."""
        compute = each * self.flops / (chip.flops * self.utilization)
        return compute + sum(one.times * chip.seconds(self._at(one, count, each), count) for one in self.collectives)

    def _at(self, one: Collective, count: int, each: float) -> Collective:
        if one.kind == "all-gather":
            return one._replace(payload=one.payload // count)
        if one.kind in ("all-to-all", "collective-permute"):  # activations
            return one._replace(payload=round(one.payload * each / self.each))
        return one


def print_training(name: str, step: Training, chip: Chip, counts: Sequence[int], examples: int) -> None:
    """Step time and efficiency of weak scaling (examples per device) and strong (16 times as many in all)."""
    batch = 16 * examples
    alone, whole = step.seconds(chip, 1, examples), step.seconds(chip, 1, batch)
    operations = f"{step.flops / 1e9:.2f} GFLOP per example"
    print(f"{name}, {operations}: {examples} examples per device, and a batch of {batch}")
    print(f"{'devices':>8}{'ms, weak':>10}{'efficiency':>11}{'ms, strong':>11}{'efficiency':>11}")
    for count in counts:
        weak, strong = step.seconds(chip, count, examples), step.seconds(chip, count, batch / count)
        print(f"{count:8}{1e3 * weak:10.3f}{alone / weak:11.0%}{1e3 * strong:11.3f}{whole / count / strong:11.0%}")
    print()


def admm_collectives(pixels: float, width: float, count: int) -> list[Collective]:
    """Of one iteration, gray, float32: a spectrum there and back, and a row to each neighbor."""
    spectrum = round(8 * pixels / width * math.ceil((width // 2 + 1) / count))
    row = round(4 * width)
    return [Collective("all-to-all", spectrum, count, 2), Collective("collective-permute", row, count, 2)]


def admm_seconds(chip: Chip, pixels: float, count: int) -> float:
    """Of one iteration of a square image of so many pixels."""
    compute = PASSES * 4 * pixels / count / chip.memory
    found = admm_collectives(pixels, math.sqrt(pixels), count) if count > 1 else []
    return compute + sum(one.times * chip.seconds(one, count) for one in found)


def print_admm(chip: Chip, counts: Sequence[int], weak: int, strong: int) -> None:
    """Time of an iteration, and efficiency, of weak scaling (pixels per device) and strong (pixels)."""
    alone, whole = admm_seconds(chip, weak, 1), admm_seconds(chip, strong, 1)
    print(f"an iteration of ADMM-TV: {weak:,} pixels per device, and {strong:,} pixels")
    print(f"{'devices':>8}{'ms, weak':>10}{'efficiency':>11}{'ms, strong':>11}{'efficiency':>11}")
    for count in counts:
        more, same = admm_seconds(chip, weak * count, count), admm_seconds(chip, strong, count)
        print(f"{count:8}{1e3 * more:10.3f}{alone / more:11.0%}{1e3 * same:11.3f}{whole / count / same:11.0%}")


def check_admm(measured: dict[int, list[dict[str, Any]]], side: int) -> str:
    """Bytes of an iteration in the loop, counted over modeled, for each number of devices."""
    ratios = []
    for count, rows in measured.items():
        counted = [Collective(*fields) for fields in rows[-1]["collectives"]]
        looped = [one for one in counted if one.times > 1]
        if count > 1:
            model = sum(one.times * one.sent for one in admm_collectives(side**2, side, count))
            ratios.append(f"{sum(one.sent for one in looped) / model:.4f} on {count}")
    return ", ".join(ratios)
