"""Ends a run that hangs: an input that never comes, a device that never answers, a disk that never returns."""

import faulthandler
import math
import os
import sys
import threading
import time

EXIT_HUNG = 70  # EX_SOFTWARE: nothing was finished for too long; the last checkpoint stands, the same command goes on.
COMPILATION = 3600.0  # seconds that whatever has to be compiled first may take longer


class Watchdog:
    """A thread that ends the process, with the stacks of all threads, when one thing is waited for too long.

    Every `waits_for` says that what was waited for before is done. The thread runs inside `with`; what holds Python's
    lock and never lets go of it stops the thread too, and is ended after twice the time, with exit code 1, by a timer
    that needs no lock.

    Args:
        seconds: the longest wait; 0: no thread, and no end to waiting. Time is that of the monotonic clock.
    """

    def __init__(self, seconds: float = 0.0):
        self._seconds = seconds
        self._waiting: tuple[str, float] = ("", math.inf)  # for what, until when; for nothing yet
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> "Watchdog":
        if self._seconds:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._seconds:
            self._thread.join()
            faulthandler.cancel_dump_traceback_later()

    def waits_for(self, what: str, compiles: bool = False) -> None:
        """Begins to wait for something; `compiles` says that it has to be compiled first."""
        self._waiting = what, time.monotonic() + self._seconds + (COMPILATION if compiles else 0.0)

    def _watch(self) -> None:
        while not self._over.wait(self._seconds / 10):
            what, until = self._waiting
            left = until - time.monotonic()
            if left < 0:
                self._end(what)
            if left < math.inf:
                faulthandler.dump_traceback_later(left + self._seconds, exit=True)

    def _end(self, what: str) -> None:
        faulthandler.dump_traceback(all_threads=True)
        line = f"mtjax: error: waited longer than train.watchdog={self._seconds:g} s for {what}; the stacks are above"
        print(line, file=sys.stderr, flush=True)
        os._exit(EXIT_HUNG)
