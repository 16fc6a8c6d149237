"""The native runner keeps the contract of runners, with every capability that there is."""

from __future__ import annotations

from runtara_runner_native import NativeRunner

from runtara_framework.testing.runner import RunnerConformance


class TestNative(RunnerConformance):
    driver = NativeRunner
