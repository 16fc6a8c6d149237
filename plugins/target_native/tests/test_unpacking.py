"""Where the Python of the executable goes, what happens when that goes wrong, and that it happens once."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .conftest import UNSHARE, inside, tree

STARTED = "CONFIG_INVALID"  # the first thing that Python says where there is no instance
OWN = f"runtara-native-{os.geteuid()}"


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file, with its number and the time of its last change."""
    return {
        str(p.relative_to(folder)): (p.stat().st_ino, p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()
    }


def outside(root: Path, place: Path, **options: Any) -> subprocess.Popen[str]:
    """Start the program on this machine, unpacking into `place`."""
    environ = {"TMPDIR": str(place)}
    return subprocess.Popen([root / "program"], env=environ, stderr=subprocess.PIPE, text=True, **options)


def test_it_is_unpacked_once(root: Path) -> None:
    assert STARTED in inside(root).stderr
    first = files(tree(root))
    assert STARTED in inside(root).stderr
    assert files(tree(root)) == first


def test_many_starts_at_once_unpack_it_once(root: Path, tmp_path: Path) -> None:
    starts = [outside(root, tmp_path) for _ in range(6)]
    assert all(STARTED in start.communicate()[1] for start in starts)
    assert [start.returncode for start in starts] == [1] * 6
    assert len(list((tmp_path / OWN).iterdir())) == 1


def test_what_a_cleaner_has_taken_is_put_back(root: Path) -> None:
    inside(root)
    folder = tree(root)
    first = set(files(folder))
    for path in (folder / "lib").rglob("enc*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (folder / "bin" / "python3").write_bytes(b"short")
    assert STARTED in inside(root).stderr
    assert set(files(folder)) == first


@pytest.mark.parametrize("size", [100, 3_000_000])
def test_killed_while_it_unpacks_it_starts_over(root: Path, tmp_path: Path, size: int) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))  # the kernel kills whoever writes a longer file

    killed = outside(root, tmp_path, preexec_fn=limit)
    killed.communicate()
    assert killed.returncode == -signal.SIGXFSZ
    assert not (tree(tmp_path) / ".whole").exists()
    again = outside(root, tmp_path)
    assert STARTED in again.communicate()[1]
    assert (tree(tmp_path) / ".whole").exists()


def test_without_a_place_it_says_what_it_tried_and_what_to_do(root: Path) -> None:
    (root / "tmp").mkdir()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    # Not killed but refused: this Python ignores the signal, and what it starts may keep that.
    failed = inside(root, {"TMPDIR": "/nowhere"}, preexec_fn=limit, restore_signals=False)
    assert failed.returncode == 1
    assert failed.stderr.splitlines() == [
        "runtara: cannot unpack the program's Python; set TMPDIR to a folder that can be written to and executed from",
        "runtara: /nowhere: No such file or directory",
        "runtara: /tmp: File too large",
        "runtara: /var/tmp: No such file or directory",
        "runtara: /: File too large",
    ]


def test_it_prefers_the_folder_that_it_is_told(root: Path) -> None:
    for name in ("mine", "tmp"):
        (root / name).mkdir()
    assert STARTED in inside(root, {"TMPDIR": "/mine"}).stderr
    assert tree(root / "mine")
    assert STARTED in inside(root).stderr
    assert tree(root / "tmp")
    assert not (root / OWN).exists()


def test_a_folder_that_others_can_write_to_is_not_trusted(root: Path) -> None:
    theirs = root / "tmp" / OWN
    theirs.mkdir(parents=True)
    theirs.chmod(0o777)
    assert STARTED in inside(root).stderr
    assert not any(theirs.iterdir())
    assert tree(root)


def test_a_link_in_its_place_is_not_followed(root: Path) -> None:
    (root / "theirs").mkdir(mode=0o700)
    (root / "tmp").mkdir()
    (root / "tmp" / OWN).symlink_to("/theirs")
    assert STARTED in inside(root).stderr
    assert not any((root / "theirs").iterdir())


def test_where_nothing_may_be_executed_it_does_not_unpack(root: Path) -> None:
    (root / "tmp").mkdir()
    script = f'mount -t tmpfs -o noexec none "{root}/tmp" && exec chroot "{root}" /program'
    command = [*UNSHARE, "--mount", "/bin/sh", "-c", script]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert STARTED in run.stderr
    assert tree(root)


def test_nobody_else_can_read_what_it_unpacks(root: Path) -> None:
    inside(root)
    assert {path.stat().st_mode & 0o077 for path in tree(root).parent.rglob("*")} == {0}
