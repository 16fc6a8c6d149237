"""The native runner keeps the contract of runners, with every capability that there is, whatever starts a process."""

from __future__ import annotations

from runtara_runner_native import NativeRunner

from runtara_framework.model import Image
from runtara_framework.packaging import write_zipapp
from runtara_framework.spec.runner import Runner
from runtara_framework.testing.runner import RunnerConformance


class TestExec(RunnerConformance):
    """Scripts, which only exec can run."""

    driver = NativeRunner


class TestForkServer(RunnerConformance):
    """The same with Python images, which are forked."""

    driver = NativeRunner

    async def program(self, runner: Runner, code: int | None) -> Image:
        return await self._python(
            runner, "import time\ntime.sleep(86400)" if code is None else f"raise SystemExit({code})"
        )

    async def _python(self, runner: Runner, text: str) -> Image:
        return await self._image(runner, write_zipapp({"__main__.py": text.encode()}, {}))


class TestPythonWithoutForkServer(TestForkServer):
    """The same images with the fork server switched off."""

    settings = {"fork_server": False}
