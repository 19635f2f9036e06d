"""A command's process keeps the memory that it frees."""

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


def test_a_block_that_was_freed_needs_no_new_pages():
    probe = [sys.executable, "-c", "from mtjax.allocator import keep_freed_memory as k; print(k())"]
    if subprocess.run(probe, capture_output=True, text=True, check=True).stdout.strip() != "True":
        pytest.skip("this system's C library has no mallopt that does as it is told")
    first, second = pages_touched("prepare")
    assert second < 100 < first
    assert min(pages_touched()) > 100  # without it, each time anew


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()
