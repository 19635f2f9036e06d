"""What a compiled program sends between devices, read from XLA's text of it."""

import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

# Bytes that a device sends of its payload, for a group of n, by the algorithms that use links best: rings, or directly.
# (Thakur, Rabenseifner and Gropp, 2005); an all-gather's payload is what one device has, a reduce-scatter's all of it.
_SENT = {
    "all-gather": lambda n: n - 1,
    "all-reduce": lambda n: 2 * (n - 1) / n,
    "all-to-all": lambda n: (n - 1) / n,
    "collective-broadcast": lambda n: 1,
    "collective-permute": lambda n: 1,
    "ragged-all-to-all": lambda n: (n - 1) / n,
    "reduce-scatter": lambda n: (n - 1) / n,
}
_BYTES = {"pred": 1, "c64": 8, "c128": 16}  # of other types the name tells the bits: f32, bf16, s8, f8e4m3fn
_INSTRUCTION = re.compile(r"\s+(?:ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\((.*)")
_HEADER = re.compile(r"(ENTRY )?%?([\w.\-]+) .*\{$")
_ARRAY = re.compile(r"\b([a-z][a-z0-9]*)\[([\d,]*)\]")
_CALLED = re.compile(r"\b(?:body|condition|calls|to_apply|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_LENGTH = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')


class Collective(NamedTuple):
    """An instruction by which devices exchange data.

    kind: XLA's name, such as "all-reduce"; payload: bytes of its operands on one device; group: how many devices take
    part; times: how often it runs, in loops of known length as often as they do, in others as if they ran once.
    """

    kind: str
    payload: int
    group: int
    times: int

    @property
    def sent(self) -> float:
        """Bytes that one device sends each time."""
        return float(self.payload * _SENT[self.kind](self.group))


class _Instruction(NamedTuple):
    name: str
    type: str
    opcode: str
    rest: str  # operands and attributes


def collectives(compiled: Any) -> list[Collective]:
    """The collectives of what `jax.jit(f).lower(...).compile()` gives; of a conditional, those of every branch."""
    return parse(compiled.as_text())


def parse(text: str) -> list[Collective]:
    """The collectives of a program in XLA's text form (optimized HLO)."""
    programs, entry = _programs(text)
    everyone = math.prod(int(n) for n in re.findall(r"(?:num_partitions|replica_count)=(\d+)", text.split("\n", 1)[0]))
    return list(_run(programs, entry, 1, everyone))


def sent(found: list[Collective]) -> float:
    """Bytes that one device sends in one run of the program."""
    return float(sum(each.times * each.sent for each in found))


def _programs(text: str) -> tuple[dict[str, list[_Instruction]], str]:
    """The instructions of each computation, and the name of that with which the program starts."""
    programs, entry, current = {}, "", []
    for line in text.splitlines():
        if header := _HEADER.match(line):
            current = programs.setdefault(header[2], [])
            entry = header[2] if header[1] else entry
        elif instruction := _INSTRUCTION.match(line):
            current.append(_Instruction(*instruction.groups()))
    return programs, entry


def _run(programs: dict[str, list[_Instruction]], name: str, times: int, everyone: int) -> Iterator[Collective]:
    """The collectives of one computation and of those that it calls."""
    types = {each.name: each.type for each in programs.get(name, ())}
    for each in programs.get(name, ()):
        kind = each.opcode.removesuffix("-start")
        if kind in _SENT:
            operands = re.findall(r"%([\w.\-]+)", each.rest.split(")", 1)[0])
            yield Collective(kind, sum(_size(types[operand]) for operand in operands), _group(each, everyone), times)
            continue  # what it applies is arithmetic
        length = _LENGTH.search(each.rest)
        called = _CALLED.findall(each.rest)
        for branches in _BRANCHES.findall(each.rest):
            called += re.findall(r"[\w.\-]+", branches)
        for program in called:
            yield from _run(programs, program, times * (int(length[1]) if length else 1), everyone)


def _size(type: str) -> int:
    """Bytes of an array, or of all in a tuple."""
    total = 0
    for kind, shape in _ARRAY.findall(type):
        bits = re.search(r"\d+", kind)
        each = _BYTES.get(kind, int(bits[0]) / 8 if bits else 0)  # a token has no bytes
        total += int(each * math.prod(int(n) for n in shape.split(",") if n))
    return total


def _group(instruction: _Instruction, everyone: int) -> int:
    """How many devices exchange with each other."""
    rest = instruction.rest
    if pairs := re.search(r"source_target_pairs=\{(.*?)\}\}", rest):
        return pairs[1].count("{")
    if listed := re.search(r"replica_groups=\{\{([\d,]+)\}", rest):
        return listed[1].count(",") + 1
    if counted := re.search(r"replica_groups=\[\d+,(\d+)\]", rest):
        return int(counted[1])
    if named := re.search(r"replica_groups=mesh\[(.*?)\] \{(.*?)\}", rest):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", named[1]))
        return math.prod(int(sizes[axis]) for axis in re.findall(r"'(\w+)'", named[2]))
    return everyone
