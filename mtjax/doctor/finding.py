"""What a look at the machine came to."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Finding:
    """What was looked at, what was found, and what to do about it; `broken` if no run can do without it."""

    what: str
    found: str
    advice: str = ""
    broken: bool = False

    @property
    def mark(self) -> Literal["✓", "!", "✗"]:
        """Works; works, with advice; does not work."""
        return "✗" if self.broken else "!" if self.advice else "✓"


def plural(count: int, noun: str) -> str:
    """`1 device`, `2 devices`."""
    return f"{count} {noun}{'s' * (count != 1)}"


def gib(count: int) -> str:
    """Bytes as GiB."""
    return f"{count / 2**30:.1f} GiB"
