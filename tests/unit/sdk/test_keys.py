from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtara_framework.sdk.keys import MAX_LENGTH, Key

# Names made of what the encoding itself uses, so that hypothesis looks where collisions would be.
names = st.text(st.sampled_from("ab%/[]@#.:~0123F\x00\x1f\ud800é𝄞"), min_size=1, max_size=8) | st.text(
    st.characters(), min_size=1, max_size=20
)
parts = st.one_of(
    st.tuples(st.just("step"), names),
    st.tuples(st.just("site"), names),
    st.tuples(st.just("suffix"), names),
    st.tuples(st.just("index"), st.integers(0, 10**9)),
)
paths = st.lists(parts, max_size=6)


def build(path: list[tuple[str, str | int]]) -> Key:
    key = Key.root()
    for kind, value in path:
        key = getattr(key, kind)(value)
    return key


@given(paths, paths)
def test_different_paths_have_different_texts(
    one: list[tuple[str, str | int]], two: list[tuple[str, str | int]]
) -> None:
    assert (str(build(one)) == str(build(two))) == (one == two)


@given(paths)
def test_a_text_can_be_taken_apart_into_the_path_that_made_it(path: list[tuple[str, str | int]]) -> None:
    text = str(build(path))
    if len(text) < MAX_LENGTH:
        assert take_apart(text) == path


@given(names)
def test_a_text_can_be_stored_anywhere(name: str) -> None:
    text = str(Key.root().step(name))
    text.encode()  # no lone surrogates
    assert len(text) <= MAX_LENGTH
    assert not any(ord(character) < 32 for character in text)


def test_a_key_can_be_read() -> None:
    call = Key.root().step("each").index(3).step("call")
    assert str(call) == "each[3]/call"
    assert str(call.attempt(2)) == "each[3]/call#attempt[2]"
    assert str(call.deadline()) == "each[3]/call#deadline"
    assert str(Key.root().step("child").site("billing").step("a/b")) == "child@billing/a%2Fb"
    assert str(Key.root().step("Прихід 9")) == "Прихід 9"


def test_a_long_key_is_cut_and_keeps_its_identity() -> None:
    long = Key.root()
    for depth in range(40):
        long = long.step(f"step-{depth}-{'x' * 100}")
    one, two = str(long.step("a")), str(long.step("b"))
    assert len(one) == len(two) == MAX_LENGTH
    assert one != two
    assert one.startswith("step-0-xxx")
    assert "%~" not in str(Key.root().step("%~"))  # nothing else is ever written like a cut key


def test_a_text_is_the_step_of_that_name() -> None:
    assert Key.of("a/b") == Key.root().step("a/b")
    key = Key.root().step("a")
    assert Key.of(key) is key


def test_what_is_no_part_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a name"):
        Key.root().step("")
    with pytest.raises(ValueError, match="negative"):
        Key.root().index(-1)


def take_apart(text: str) -> list[tuple[str, str | int]]:
    """A decoder of its own, to prove that the encoding loses nothing."""
    path: list[tuple[str, str | int]] = []
    rest = text
    while rest:
        kind = {"/": "step", "@": "site", "#": "suffix", "[": "index"}.get(rest[0])
        if kind == "index":
            number, rest = rest[1:].split("]", 1)
            path.append((kind, int(number)))
            continue
        rest = rest[1:] if kind else rest
        end = next((place for place, character in enumerate(rest) if character in "/@#["), len(rest))
        raw, rest = rest[:end], rest[end:]
        path.append((kind or "step", unescape(raw)))
    return path


def unescape(raw: str) -> str:
    data, place = bytearray(), 0
    while place < len(raw):
        if raw[place] == "%":
            data.append(int(raw[place + 1 : place + 3], 16))
            place += 3
        else:
            data += raw[place].encode()
            place += 1
    return data.decode("utf-8", "surrogatepass")
