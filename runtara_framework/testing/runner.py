"""Conformance of runners: inherit `RunnerConformance` and say which driver.

    class TestNative(RunnerConformance):
        driver = NativeRunner

A driver that declares "processes" is tested with real programs: shell scripts, and Python scripts for what a shell cannot
do. Any other says in `program` how its images come about. Tests of a capability that the driver does not declare are not
there at all, so they are not reported as skipped.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from runtara_framework.errors import ImageInvalid, LaunchFailed, RuntaraError
from runtara_framework.spec.runner import RUNNER, RUNNER_CAPABILITIES, Runner
from runtara_framework.testing.processes import (
    FAMILY,
    FLOOD,
    PATIENCE_SECONDS,
    Go,
    Ready,
    Server,
    allocated,
    image_of,
    made,
    reader,
    running,
    soon,
    started,
    traces,
)
from runtara_framework.testing.runner_base import needs
from runtara_framework.testing.runner_memory import MemoryTests

_MIB = 1024 * 1024
_TAIL_BYTES = 8 * 1024


@pytest.mark.asyncio
class RunnerConformance(MemoryTests):
    """Inherit it; see the module."""

    # -- every runner -------------------------------------------------------------------------------------

    async def test_it_speaks_the_contract_of_this_kernel(self) -> None:
        assert self.driver.api == RUNNER.api
        assert self.driver.capabilities <= RUNNER_CAPABILITIES

    @pytest.mark.parametrize("code", [0, 1, 77, 255])
    async def test_wait_tells_the_exit_code(self, runner: Runner, workdir: Path, code: int) -> None:
        exit = await self._run(runner, await self.program(runner, code), workdir)

        assert (exit.code, exit.signal, exit.out_of_memory) == (code, None, False)

    async def test_a_handle_is_small_json_that_may_be_stored_and_read_again(
        self, runner: Runner, workdir: Path
    ) -> None:
        handle = await self._launch(runner, await self.program(runner, 3), workdir)
        text = json.dumps(handle)
        # As a reader with 64-bit floats for numbers, as many are, would see it.
        stored = json.loads(text, parse_int=lambda digits: int(float(digits)))

        assert len(text) < 1024
        assert (await soon(runner.wait(stored))).code == 3

    async def test_launches_at_the_same_time_do_not_mix(self, runner: Runner, tmp_path: Path) -> None:
        images = [await self.program(runner, code) for code in range(5)]
        folders = [made(tmp_path / f"at-once-{number}") for number in range(25)]
        exits = await asyncio.gather(
            *(self._run(runner, images[number % 5], folder) for number, folder in enumerate(folders))
        )

        assert [exit.code for exit in exits] == [number % 5 for number in range(25)]

    async def test_two_launches_of_one_image_are_two(self, runner: Runner, workdir: Path) -> None:
        image = await self.program(runner, None)
        first = await self._launch(runner, image, workdir, epoch=1)
        second = await self._launch(runner, image, workdir, epoch=2)
        await soon(runner.stop(first, 0))
        waiting = asyncio.create_task(runner.wait(second))
        await soon(runner.wait(first))

        assert first != second
        assert not waiting.done()
        await soon(runner.stop(second, 0))
        await soon(waiting)

    async def test_cancelling_wait_leaves_the_process_alone(self, runner: Runner, workdir: Path) -> None:
        handle = await self._launch(runner, await self.program(runner, None), workdir)
        waiting = asyncio.create_task(runner.wait(handle))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        again = asyncio.create_task(runner.wait(handle))
        await asyncio.sleep(0)

        assert not again.done()
        await soon(runner.stop(handle, 0))
        await soon(again)

    @pytest.mark.parametrize("grace_seconds", [0, 5])
    async def test_stop_ends_it_and_wait_still_tells_the_exit(
        self, runner: Runner, workdir: Path, grace_seconds: float
    ) -> None:
        handle = await self._launch(runner, await self.program(runner, None), workdir)
        await soon(runner.stop(handle, grace_seconds))
        exit = await soon(runner.wait(handle))

        assert exit.code != 0
        assert not exit.out_of_memory

    async def test_stop_may_come_twice_at_once_and_after_the_end(self, runner: Runner, workdir: Path) -> None:
        handle = await self._launch(runner, await self.program(runner, None), workdir)
        await soon(asyncio.gather(runner.stop(handle, 1), runner.stop(handle, 0)))
        await soon(runner.stop(handle, 0))
        await soon(runner.wait(handle))
        await soon(runner.stop(handle, 0))

    async def test_stop_does_not_change_the_exit_of_one_that_has_ended(self, runner: Runner, workdir: Path) -> None:
        ended = await self._launch(runner, await self.program(runner, 4), workdir)
        waiting = asyncio.create_task(runner.wait(ended))
        await asyncio.wait({waiting}, timeout=PATIENCE_SECONDS)
        await soon(runner.stop(ended, 0))

        assert waiting.result().code == 4

    async def test_prepare_may_be_repeated_and_happen_at_once(self, runner: Runner, workdir: Path) -> None:
        image = await self.program(runner, 9)

        async def never() -> AsyncIterator[bytes]:
            raise AssertionError("an image that is prepared is not read again")
            yield b""

        await asyncio.gather(*(runner.prepare(image, never) for _ in range(5)))
        assert (await self._run(runner, image, workdir)).code == 9

    async def test_discard_may_be_repeated_and_forgets_nothing_else(self, runner: Runner, workdir: Path) -> None:
        kept, dropped = await self.program(runner, 1), await self.program(runner, 2)
        await runner.discard(dropped)
        await runner.discard(dropped)
        await runner.discard(image_of(b"never prepared"))

        assert (await self._run(runner, kept, workdir)).code == 1
        assert (await self._run(runner, await self.program(runner, 2), workdir)).code == 2

    # -- processes: images --------------------------------------------------------------------------------

    @needs("processes")
    async def test_images_prepared_at_once_are_whole(self, runner: Runner, workdir: Path) -> None:
        body = b"#!/bin/sh\nexit 6\n" + b"# padding\n" * 100_000
        image = image_of(body)
        await asyncio.gather(*(runner.prepare(image, reader(body)) for _ in range(8)))

        assert (await self._run(runner, image, workdir)).code == 6

    @needs("processes")
    async def test_a_reader_that_fails_leaves_nothing_that_could_run(self, runner: Runner, workdir: Path) -> None:
        body = b"#!/bin/sh\nexit 6\n# the end is missing"
        image = image_of(body)

        async def broken() -> AsyncIterator[bytes]:
            yield body[:20]
            raise ConnectionResetError("the storage went away")

        with pytest.raises((ConnectionResetError, RuntaraError)):
            await runner.prepare(image, broken)
        with pytest.raises(LaunchFailed):
            await self._launch(runner, image, workdir)
        await runner.prepare(image, reader(body))
        assert (await self._run(runner, image, workdir)).code == 6

    @needs("processes")
    async def test_other_bytes_than_the_image_names_are_refused(self, runner: Runner, workdir: Path) -> None:
        image = image_of(b"#!/bin/sh\nexit 0\n")
        with pytest.raises(RuntaraError) as caught:
            await runner.prepare(image, reader(b"#!/bin/sh\nexit 1\n"))

        assert image.sha256 in caught.value.message
        with pytest.raises(LaunchFailed):
            await self._launch(runner, image, workdir)

    @needs("processes")
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"just a text",
            b'{"steps": {}}',
            b"\x7fELF",
            b"PK\5\6" + bytes(18),
            b"\0asm\1\0\0\0",
            b"#!\n",
            b"\xff" * 99,
        ],
        ids=["empty", "text", "json", "truncated elf", "empty zip", "wasm", "empty shebang", "garbage"],
    )
    async def test_what_is_no_executable_is_refused_with_a_reason(self, runner: Runner, body: bytes) -> None:
        with pytest.raises(ImageInvalid) as caught:
            await self._image(runner, body)

        assert len(caught.value.message) > len("the image is")

    @needs("processes")
    async def test_prepare_killed_in_the_middle_is_done_again(self, data_dir: Path, workdir: Path) -> None:
        body = b"#!/bin/sh\nexit 8\n" + b"# padding\n" * 200_000
        server = await Server.start("prepare", self.driver, self.settings, data_dir, workdir, body)
        assert await server.line() == "half"
        await server.kill()

        async with AsyncExitStack() as stack:
            runner = await started(self.driver, self.settings, data_dir, stack)
            with pytest.raises(LaunchFailed):
                await self._launch(runner, image_of(body), workdir)
            assert (await self._run(runner, await self._image(runner, body), workdir)).code == 8

    @needs("processes")
    async def test_a_missing_interpreter_is_named(self, runner: Runner, workdir: Path) -> None:
        image = await self._image(runner, b"#!/no/such/interpreter\n")
        with pytest.raises(LaunchFailed) as caught:
            await self._launch(runner, image, workdir)

        assert "/no/such/interpreter" in caught.value.message

    @needs("processes")
    async def test_a_launch_that_fails_leaves_nothing(self, runner: Runner, workdir: Path, data_dir: Path) -> None:
        good, bad = await self.program(runner, 0), await self._image(runner, b"#!/no/such/interpreter\n")
        await self._run(runner, good, workdir)
        before = traces(data_dir)
        for _ in range(20):
            with pytest.raises(LaunchFailed):
                await self._launch(runner, bad, workdir)

        assert traces(data_dir) == before

    # -- processes: what a program gets -------------------------------------------------------------------

    @needs("processes")
    async def test_the_environment_is_exactly_what_was_given(
        self, runner: Runner, workdir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("A_SECRET_OF_THE_SERVER", "must not be seen")
        image = await self._python(
            runner, "import os; open('seen', 'wb').write(b'\\0'.join(b'='.join(pair) for pair in os.environb.items()))"
        )
        given = {"EMPTY": "", "SPACE": " a  b ", "LINES": "1\n2", "UNICODE": "żółć 😀", "EQUALS": "a=b=c", "lower": "x"}
        exit = await self._run(runner, image, workdir, given)
        seen = dict(e.split("=", 1) for e in (workdir / "seen").read_bytes().decode().split("\0") if e)

        assert exit.code == 0, exit.stderr
        # Python itself adds LC_CTYPE to an environment without a locale (PEP 538).
        assert {name: value for name, value in seen.items() if name not in ("PATH", "LC_CTYPE")} == given
        assert seen["PATH"], "a program without a PATH finds nothing: the runner gives one"

    @needs("processes")
    async def test_a_path_that_was_given_is_kept(self, runner: Runner, workdir: Path) -> None:
        image = await self._script(runner, '[ "$PATH" = /mine:/bin ]')

        assert (await self._run(runner, image, workdir, {"PATH": "/mine:/bin"})).code == 0

    @needs("processes")
    async def test_an_impossible_environment_is_a_failed_launch(self, runner: Runner, workdir: Path) -> None:
        image = await self.program(runner, 0)
        for env in ({"A": "nul \0 byte"}, {"A=B": "c"}, {"A": "x" * 20 * _MIB}):
            with pytest.raises(LaunchFailed):
                await self._launch(runner, image, workdir, env)

    @needs("processes")
    async def test_it_starts_in_its_working_directory_which_is_kept(self, runner: Runner, workdir: Path) -> None:
        write = await self._script(runner, "echo kept > file")
        read = await self._script(runner, '[ "$(cat file)" = kept ]')

        assert (await self._run(runner, write, workdir)).code == 0
        assert (workdir / "file").read_text() == "kept\n"
        assert (await self._run(runner, read, workdir)).code == 0

    @needs("processes")
    async def test_a_missing_working_directory_is_a_failed_launch(self, runner: Runner, tmp_path: Path) -> None:
        with pytest.raises(LaunchFailed) as caught:
            await self._launch(runner, await self.program(runner, 0), tmp_path / "missing")

        assert "missing" in caught.value.message

    @needs("processes")
    async def test_stdin_is_empty_and_stdout_is_nobodys_concern(self, runner: Runner, workdir: Path) -> None:
        image = await self._script(runner, "cat && echo to stdout && echo to stderr >&2")
        exit = await self._run(runner, image, workdir)

        assert exit.code == 0
        assert "to stdout" not in exit.stderr

    @needs("processes")
    async def test_it_gets_no_file_of_the_servers(self, runner: Runner, workdir: Path) -> None:
        reading, writing = os.pipe()
        os.set_inheritable(writing, True)
        try:
            image = await self._script(runner, "ls /proc/self/fd > fds")
            assert (await self._run(runner, image, workdir)).code == 0
        finally:
            os.close(reading)
            os.close(writing)

        # 0, 1, 2, and the one that `ls` reads the directory through.
        assert len((workdir / "fds").read_text().split()) == 4

    @needs("processes")
    async def test_a_signal_that_ends_it_is_told(self, runner: Runner, workdir: Path) -> None:
        exit = await self._run(runner, await self._script(runner, "kill -SEGV $$"), workdir)

        assert (exit.code, exit.signal) == (None, signal.SIGSEGV)

    # -- processes: stop ----------------------------------------------------------------------------------

    @needs("processes")
    async def test_stop_lets_it_end_by_itself_within_the_grace(self, runner: Runner, workdir: Path) -> None:
        image = await self._script(
            runner, "trap 'echo goodbye > farewell; exit 7' TERM; echo ready > ready; while :; do sleep 0.01; done"
        )
        ready = Ready(workdir)
        handle = await self._launch(runner, image, workdir)
        await ready.wait()
        await soon(runner.stop(handle, 30))

        assert (await soon(runner.wait(handle))).code == 7
        assert (workdir / "farewell").read_text() == "goodbye\n"

    @needs("processes")
    async def test_one_that_ignores_the_request_is_killed_after_the_grace(self, runner: Runner, workdir: Path) -> None:
        image = await self._script(runner, "trap '' TERM; echo ready > ready; while :; do sleep 0.01; done")
        ready = Ready(workdir)
        handle = await self._launch(runner, image, workdir)
        await ready.wait()
        await soon(runner.stop(handle, 0.1))

        assert (await soon(runner.wait(handle))).signal == signal.SIGKILL

    @needs("processes")
    @pytest.mark.parametrize("grace_seconds", [0, 30])
    async def test_no_descendant_is_left_after_stop(self, runner: Runner, workdir: Path, grace_seconds: float) -> None:
        token = f"86400.{secrets.randbelow(10**15):015}"
        image = await self._python(runner, FAMILY.format(token=token))
        ready = Ready(workdir)
        handle = await self._launch(runner, image, workdir)
        await ready.wait()
        assert len(running(token)) == 3, "a child, one in a session of its own, and a daemon"
        await soon(runner.stop(handle, grace_seconds))

        assert running(token) == []
        await soon(runner.wait(handle))

    @needs("processes")
    async def test_two_hundred_quick_launches_leave_nothing(
        self, runner: Runner, workdir: Path, data_dir: Path
    ) -> None:
        image = await self.program(runner, 0)
        await self._run(runner, image, workdir)
        before = traces(data_dir)
        for _ in range(10):
            exits = await asyncio.gather(*(self._run(runner, image, workdir) for _ in range(20)))
            assert {exit.code for exit in exits} == {0}

        assert traces(data_dir) == before

    # -- stderr -------------------------------------------------------------------------------------------

    @needs("processes", "stderr")
    async def test_stderr_is_told(self, runner: Runner, workdir: Path) -> None:
        exit = await self._run(runner, await self._script(runner, "echo 'it went wrong: ż' >&2; exit 1"), workdir)

        assert exit.stderr == "it went wrong: ż\n"

    @needs("processes", "stderr")
    @pytest.mark.parametrize("shift", range(4))
    async def test_the_tail_of_stderr_is_cut_at_a_character(self, runner: Runner, workdir: Path, shift: int) -> None:
        image = await self._python(
            runner, f"import sys; sys.stderr.buffer.write(('😀' * 5000 + '.' * {shift} + 'end').encode())"
        )
        exit = await self._run(runner, image, workdir)

        assert exit.stderr.endswith("." * shift + "end")
        assert _TAIL_BYTES - 4 < len(exit.stderr.encode()) <= _TAIL_BYTES
        assert exit.stderr.startswith("😀")

    @needs("processes", "stderr")
    async def test_garbage_on_stderr_becomes_text_that_can_be_stored(self, runner: Runner, workdir: Path) -> None:
        image = await self._python(runner, r"import sys; sys.stderr.buffer.write(bytes(range(256)) * 100 + b'\nend')")
        exit = await self._run(runner, image, workdir)

        assert exit.stderr.endswith("\nend")
        assert len(exit.stderr.encode()) <= _TAIL_BYTES
        assert "\0" not in exit.stderr, "PostgreSQL, for one, stores no NUL"

    @needs("processes", "stderr")
    async def test_a_flood_on_stderr_fills_no_disk_while_the_program_runs(
        self, runner: Runner, workdir: Path, data_dir: Path
    ) -> None:
        exit = await self._run(runner, await self._python(runner, FLOOD), workdir)

        assert exit.code == 0, "more than 16 MiB of its 100 MiB stay on the disk while it runs"
        assert exit.stderr.endswith("the end")
        assert len(exit.stderr.encode()) <= _TAIL_BYTES
        assert allocated(data_dir) < 16 * _MIB

    # -- adopt --------------------------------------------------------------------------------------------

    @needs("adopt")
    async def test_adopt_denies_one_that_has_ended(self, runner: Runner, workdir: Path) -> None:
        handle = await self._launch(runner, await self.program(runner, 0), workdir)
        await soon(runner.wait(handle))

        assert not await soon(runner.adopt(handle))

    @needs("adopt")
    async def test_adopt_confirms_one_of_this_server(self, runner: Runner, workdir: Path) -> None:
        handle = await self._launch(runner, await self.program(runner, None), workdir)

        assert await soon(runner.adopt(handle))
        await soon(runner.stop(handle, 0))
        assert (await soon(runner.wait(handle))).code != 0

    @needs("processes", "adopt")
    async def test_what_a_killed_server_launched_is_adopted_and_stopped(self, data_dir: Path, workdir: Path) -> None:
        token = f"86400.{secrets.randbelow(10**15):015}"
        server = await Server.start(
            "launch", self.driver, self.settings, data_dir, workdir, f"#!/bin/sh\nsleep {token} &\nwait\n".encode()
        )
        handle = json.loads(await server.line())
        await server.kill()

        async with AsyncExitStack() as stack:
            runner = await started(self.driver, self.settings, data_dir, stack)
            assert await soon(runner.adopt(handle))
            waiting = asyncio.create_task(runner.wait(handle))
            await asyncio.sleep(0)
            assert not waiting.done()
            await soon(runner.stop(handle, 5))
            assert (await soon(waiting)).code != 0
            assert running(token) == []
            assert not await soon(runner.adopt(handle))

    @needs("processes", "adopt")
    async def test_an_adopted_process_ends_by_itself_and_wait_tells(self, data_dir: Path, workdir: Path) -> None:
        body = b"#!/bin/sh\nread line < go\necho last words >&2\n"
        async with AsyncExitStack() as stack:
            go = stack.enter_context(Go(workdir))
            server = await Server.start("launch", self.driver, self.settings, data_dir, workdir, body)
            handle = json.loads(await server.line())
            await server.kill()
            runner = await started(self.driver, self.settings, data_dir, stack)
            assert await soon(runner.adopt(handle))
            waiting = asyncio.create_task(runner.wait(handle))
            go.say()
            exit = await soon(waiting)

        assert exit.code in (None, 0)
        assert exit.signal is None
        assert "stderr" not in self.driver.capabilities or exit.stderr == "last words\n"

    @needs("processes", "adopt")
    async def test_what_ended_while_no_server_ran_is_not_adopted(self, data_dir: Path, workdir: Path) -> None:
        body = b"#!/bin/sh\nread line < go\necho done > ready\n"
        async with AsyncExitStack() as stack:
            go, ready = stack.enter_context(Go(workdir)), Ready(workdir)
            server = await Server.start("launch", self.driver, self.settings, data_dir, workdir, body)
            handle = json.loads(await server.line())
            await server.kill()
            go.say()
            await ready.wait()
            runner = await started(self.driver, self.settings, data_dir, stack)
            if await soon(runner.adopt(handle)):  # it was at its very end
                await soon(runner.wait(handle))
                assert not await soon(runner.adopt(handle))
            await soon(runner.stop(handle, 0))

    # -- usage --------------------------------------------------------------------------------------------

    @needs("processes", "usage")
    async def test_cpu_time_and_peak_memory_are_told(self, runner: Runner, workdir: Path) -> None:
        image = await self._python(
            runner,
            # It keeps the memory for a while, because a runner may have to look rather than be told.
            "import time\nblock = bytearray(b'x') * (512 << 20)\n"
            "end = time.monotonic() + 1\nwhile time.monotonic() < end or time.process_time() < 0.3: pass",
        )
        exit = await self._run(runner, image, workdir)

        assert exit.code == 0
        assert exit.cpu_usec is not None
        assert 300_000 <= exit.cpu_usec < 60_000_000
        assert exit.memory_peak_bytes is not None
        assert 512 * _MIB <= exit.memory_peak_bytes < 700 * _MIB

    @needs("processes", "usage")
    async def test_a_small_program_is_not_charged_with_the_servers_memory(self, runner: Runner, workdir: Path) -> None:
        block = bytearray(b"x") * (256 * _MIB)
        exit = await self._run(runner, await self._script(runner, "sleep 0.1"), workdir)
        del block

        assert exit.memory_peak_bytes is None or exit.memory_peak_bytes < 100 * _MIB
