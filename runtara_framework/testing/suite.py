"""The guard of every conformance suite: a plugin may inherit its tests and mark one as failing, never replace one."""

from __future__ import annotations


class Conformance:
    """Base of the suites. Inherit a suite and provide its fixtures.

    A test of the suite that a plugin cannot pass is overridden with `@pytest.mark.xfail(reason="…")`, so that the gap is
    named; any other override raises `TypeError` when the class is made. Tests of your own have names of their own.
    """

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        for name, member in vars(cls).items():
            if not name.startswith("test_") or getattr(super(cls, cls), name, None) is None:
                continue
            marks = getattr(member, "pytestmark", [])
            if not any(mark.name == "xfail" and mark.kwargs.get("reason") for mark in marks):
                raise TypeError(
                    f"{cls.__name__}.{name} replaces a conformance test without xfail(reason=...): "
                    "rename your test, or mark the gap"
                )
