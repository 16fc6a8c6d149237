"""Hook plugins, good and bad. Pluggy reads functions of a class as well as those of a module."""

from __future__ import annotations

from runtara_framework.spec.lifecycle import hookimpl


class Observer:
    @staticmethod
    @hookimpl
    async def runtara_started(addresses):
        pass


class Typo:
    @staticmethod
    @hookimpl
    async def runtara_startd(addresses):
        pass


class WrongArgument:
    @staticmethod
    @hookimpl
    async def runtara_started(address):
        pass


class NamedA:
    @staticmethod
    @hookimpl
    async def runtara_authorize():
        return "a"


class NamedB:
    @staticmethod
    @hookimpl
    async def runtara_authorize():
        return "b"


class Rules:
    """Says what the description of a scenario asks it to say."""

    @staticmethod
    @hookimpl
    def runtara_validate_scenario(document):
        from runtara_framework.dsl.validation import Finding

        wanted = document.get("executionGraph", document).get("description", "")
        match wanted:
            case "break":
                raise KeyError("steps")
            case "nonsense":
                return ["not a finding"]
            case "fatal":
                return [Finding(code="X1", severity="fatal", message="worse than an error")]
            case "odd":
                return [Finding(code="X1", severity="error", pointer=None, message="a finding without a place")]
            case "error" | "warning":
                return [Finding(code="X1", severity=wanted, pointer="/description", message="as it was asked for")]
        return None
