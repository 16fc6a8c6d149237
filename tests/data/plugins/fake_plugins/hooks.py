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
