"""A request to stop, by SIGTERM (schedulers) or Ctrl-C: a flag that the loop reads between two steps."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

EXIT_STOPPED = 75  # EX_TEMPFAIL: saved, not finished; the same command goes on. Schedulers can requeue on it.


@contextlib.contextmanager
def stop_requested() -> Iterator[Callable[[], bool]]:
    """Inside, SIGTERM and the first Ctrl-C only set a flag, which the function that it gives reads.

    So a save under way is never torn, and a second SIGTERM changes nothing. A second Ctrl-C interrupts at once, for
    whoever cannot wait; checkpoints are committed whole or not at all. Outside the main thread, where Python allows no
    handlers, the flag stays down.
    """
    requested = threading.Event()

    def request(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and requested.is_set():
            signal.default_int_handler(number, frame)
        requested.set()

    handled = (signal.SIGTERM, signal.SIGINT) if threading.current_thread() is threading.main_thread() else ()
    previous = {number: signal.signal(number, request) for number in handled}
    try:
        yield requested.is_set
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
