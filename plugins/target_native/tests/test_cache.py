"""A base is made once, and again when anything that it was made from has changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from runtara_target_native.cache import KEPT, Cache, cache_folder

from runtara_framework.errors import DriverUnavailable

from .conftest import SCENARIO, compiled

Make = Callable[[], tuple[bytes, list[Path]]]


class Maker:
    """Makes a base of one source, and counts."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.made = 0
        source.write_bytes(b"one")
        os.utime(source, ns=(0, 0))  # long ago

    def __call__(self) -> tuple[bytes, list[Path]]:
        self.made += 1
        return b"base of " + self.source.read_bytes(), [self.source]


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    return Maker(tmp_path / "source")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def test_it_is_made_once(cache: Cache, maker: Maker, tmp_path: Path) -> None:
    assert cache.get(["a"], maker) == cache.get(["a"], maker) == b"base of one"
    assert Cache(tmp_path / "cache").get(["a"], maker) == b"base of one"
    assert maker.made == 1


def test_another_identity_is_another_base(cache: Cache, maker: Maker) -> None:
    for identity in (["a", "b"], ["ab"], ["a"], ["b", "a"]):
        cache.get(identity, maker)
    assert maker.made == 4


@pytest.mark.parametrize("content", [b"two", b"three"])
def test_a_source_that_has_changed_makes_it_again(cache: Cache, maker: Maker, content: bytes) -> None:
    cache.get(["a"], maker)
    maker.source.write_bytes(content)
    os.utime(maker.source, ns=(1, 1))
    assert cache.get(["a"], maker) == b"base of " + content
    assert maker.made == 2


def test_a_source_that_changes_while_it_is_read_makes_it_again(cache: Cache, maker: Maker) -> None:
    def make() -> tuple[bytes, list[Path]]:
        made = maker()
        maker.source.write_bytes(b"two")
        return made

    assert cache.get(["a"], make) == b"base of one"
    assert cache.get(["a"], maker) == b"base of two"


def test_a_damaged_base_is_made_again(cache: Cache, maker: Maker, tmp_path: Path) -> None:
    for damage in (b"", b"no json", b"base", b"\n"):
        cache.get(["a"], maker)
        (entry,) = (tmp_path / "cache").glob("*.base")
        entry.write_bytes(entry.read_bytes()[:-1] if damage == b"base" else damage)
        assert cache.get(["a"], maker) == b"base of one"
    assert maker.made == 5


def test_a_folder_that_cannot_be_used_is_told_with_the_remedy(maker: Maker, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DriverUnavailable, match=r"file/cache: Not a directory; set XDG_CACHE_HOME"):
        Cache(tmp_path / "file" / "cache").get(["a"], maker)


def test_two_at_once_make_it_once(cache: Cache, maker: Maker) -> None:
    begin = Barrier(4)

    def get(_: int) -> bytes:
        begin.wait()
        return cache.get(["a"], maker)

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(get, range(4))) == {b"base of one"}
    assert maker.made == 1


def test_only_the_latest_used_are_kept(cache: Cache, maker: Maker, tmp_path: Path) -> None:
    for number in range(KEPT):
        cache.get([str(number)], maker)
    cache.get(["0"], maker)  # used again, so the next one to go is "1"
    cache.get(["another"], maker)
    assert len(list((tmp_path / "cache").glob("*.base"))) == KEPT
    assert maker.made == KEPT + 1
    cache.get(["0"], maker)
    assert maker.made == KEPT + 1
    cache.get(["1"], maker)
    assert maker.made == KEPT + 2


def test_two_scenarios_with_the_same_agents_share_a_base(executable: bytes) -> None:
    (before,) = cache_folder().glob("*.base")
    stamp = before.stat().st_ino
    other = {**SCENARIO, "name": "another", "durable": True}
    binary = compiled(scenario_id="another", execution_graph=other).binary
    assert [path.stat().st_ino for path in cache_folder().glob("*.base")] == [stamp]
    base = before.read_bytes().partition(b"\n")[2]
    assert binary.startswith(base) and executable.startswith(base)
    assert binary != executable


def test_the_same_scenario_gives_the_same_bytes(executable: bytes) -> None:
    assert compiled(scenario_id="other").binary != executable  # and pushes nothing of it out of the memory's cache
    assert compiled().binary == executable
