"""A small disk of a test's own, which can be filled."""

import contextlib
import pathlib
import shutil
import subprocess
from collections.abc import Iterator

import pytest

ROOM = 2**20  # bytes


@pytest.fixture
def disk(tmp_path) -> Iterator[pathlib.Path]:
    """A disk with room for a few checkpoints."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "mtjax-test", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user may not mount a disk")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: pathlib.Path) -> None:
    """Leaves no room, as another user's files do."""
    with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
