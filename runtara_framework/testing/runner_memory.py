"""Conformance of runners that limit the memory of what they launch."""

from __future__ import annotations

from pathlib import Path

from runtara_framework.spec.runner import Runner
from runtara_framework.testing.runner_base import RunnerSuite, needs

_MIB = 1024 * 1024


class MemoryTests(RunnerSuite):
    """A part of `RunnerConformance`."""

    @needs("processes", "memory")
    async def test_a_program_gets_no_more_memory_than_its_limit(self, runner: Runner, workdir: Path) -> None:
        greedy = await self._python(runner, "block = bytearray(b'x') * (200 << 20)\nopen('all', 'w').close()")
        refused = await self._run(runner, greedy, workdir, memory=64 * _MIB)
        assert refused.code != 0
        assert not (workdir / "all").exists()

        assert (await self._run(runner, greedy, workdir, memory=512 * _MIB)).code == 0
        assert (await self._run(runner, greedy, workdir)).code == 0

    @needs("processes", "memory")
    async def test_a_program_gets_all_of_its_limit_beside_what_the_runtime_takes(
        self, runner: Runner, workdir: Path
    ) -> None:
        imports = "import asyncio, concurrent.futures.process, ssl, sqlite3, xml.dom.minidom\n"
        modest = await self._python(runner, f"{imports}block = bytearray(b'x') * (64 << 20)")
        exit = await self._run(runner, modest, workdir, memory=64 * _MIB)

        assert exit.code == 0, exit.stderr

    @needs("processes", "memory")
    async def test_what_a_program_starts_is_limited_with_it(self, runner: Runner, workdir: Path) -> None:
        child = "block = bytearray(b'x') * (200 << 20); open('all', 'w').close()"
        parent = await self._python(
            runner, f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
        )
        await self._run(runner, parent, workdir, memory=64 * _MIB)

        assert not (workdir / "all").exists()
