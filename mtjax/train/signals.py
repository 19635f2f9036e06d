"""A request to stop, by SIGTERM (schedulers) or Ctrl-C: a flag, which travels to all processes with the next step."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

EXIT_STOPPED = 75  # EX_TEMPFAIL: saved, not finished; the same command goes on. Schedulers can requeue on it.


class Stopped(Exception):
    """The run was asked to stop; where the loop raises it, everything is saved."""


class StopRequest:
    """Whether this process was asked to stop."""

    def __init__(self):
        self._asked = threading.Event()
        self._raises = False

    def __call__(self) -> bool:
        """Whether it was."""
        return self._asked.is_set()

    def ask(self) -> None:
        """Raises the flag; raises Stopped too, inside `interrupting`."""
        self._asked.set()
        if self._raises:
            self._raises = False  # once is enough: the saving that follows is not to be interrupted
            raise Stopped

    @contextlib.contextmanager
    def interrupting(self) -> Iterator[None]:
        """Inside, a request raises Stopped at once, for it may be that what is waited for never comes."""
        self._raises = True
        try:
            if self():
                raise Stopped
            yield
        finally:
            self._raises = False


@contextlib.contextmanager
def stop_requested() -> Iterator[StopRequest]:
    """Inside, SIGTERM and the first Ctrl-C only make a request, which is what it gives.

    So a save under way is never torn, and a second SIGTERM changes nothing. A second Ctrl-C interrupts at once, for
    whoever cannot wait; checkpoints are committed whole or not at all. Outside the main thread, where Python allows no
    handlers, the flag stays down.

    To be entered after `jax.distributed.initialize`, which installs a handler of SIGTERM of its own: the last one
    counts.
    """
    stopping = StopRequest()

    def request(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and stopping():
            signal.default_int_handler(number, frame)
        stopping.ask()

    handled = (signal.SIGTERM, signal.SIGINT) if threading.current_thread() is threading.main_thread() else ()
    previous = {number: signal.signal(number, request) for number in handled}
    try:
        yield stopping
    finally:
        for number, handler in previous.items():
            # A handler that was not installed from Python, such as that of jax.distributed, cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
