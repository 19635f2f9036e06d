"""A command's process keeps the memory that it frees."""

import platform
import subprocess
import sys

import pytest

from mtjax.allocator import keep_freed_memory

COUNT = """
import ctypes, resource, sys, threading
from mtjax import cli

libc, size = ctypes.CDLL(None), 96 * 2**20
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def count():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(size)
    libc.memset(block, 1, size)
    libc.free(block)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

if "prepare" in sys.argv:
    cli.prepare(debug=True)
for _ in range(2):
    thread = threading.Thread(target=count)  # as XLA runs a step in a thread of its own
    thread.start()
    thread.join()
"""


def pages_touched(*words: str) -> list[int]:
    done = subprocess.run([sys.executable, "-c", COUNT, *words], capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.split()]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the GNU C library can be told")
def test_a_block_that_was_freed_needs_no_new_pages():
    first, second = pages_touched("prepare")  # few and large, or many and small ones
    assert second < 0.2 * first
    again = pages_touched()  # without it, each time anew
    assert min(again) > 0.5 * max(again) > 0


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()
