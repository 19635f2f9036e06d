"""A process that keeps the memory that it frees: a training step needs all of it again, and its pages are not free."""

import ctypes
import sys

# What `mallopt` of the GNU C library calls them, in <malloc.h>.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Asks the C library to give no memory back to the system; whether it could.

    By default it returns each large block at once, and the system clears every page of it anew when the next step
    touches them: on a CPU a quarter of a step's time (`benchmarks/allocator.py`). The price is that a process
    stays as large as it ever was. One heap for all threads, since those of the others may not grow beyond 64 MiB. To be
    called before there are threads; of the GNU C library only, elsewhere nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    wanted = ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER))
    done = [mallopt(option, value) for option, value in wanted]
    return all(done)
