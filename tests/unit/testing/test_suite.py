"""The guard of the conformance suites."""

from __future__ import annotations

import pytest

from runtara_framework.testing.suite import Conformance


class Suite(Conformance):
    def test_promise(self) -> None:
        assert True is not None


def test_a_plugin_may_add_tests_and_mark_a_gap() -> None:
    class Mine(Suite):
        def test_of_my_own(self) -> None: ...

        @pytest.mark.xfail(reason="not before version 2")
        def test_promise(self) -> None:
            super().test_promise()

    assert issubclass(Mine, Suite)


def test_a_plugin_may_not_replace_a_test() -> None:
    with pytest.raises(TypeError, match=r"Mine\.test_promise replaces a conformance test"):

        class Mine(Suite):
            def test_promise(self) -> None: ...


def test_a_gap_needs_a_reason() -> None:
    with pytest.raises(TypeError, match="xfail"):

        class Mine(Suite):
            @pytest.mark.xfail
            def test_promise(self) -> None: ...
