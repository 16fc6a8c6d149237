"""The fork server: a forked image cannot tell that it was; and the helper may die at any moment without loss."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import secrets
import signal
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from runtara_runner_native import NativeRunner, NativeSettings, forkserver, processes
from runtara_runner_native.forkserver import forkable

from runtara_framework.model import Exit, Image
from runtara_framework.packaging import write_zipapp
from runtara_framework.spec.runner import Handle
from runtara_framework.testing.processes import Go, Ready, Server, made, soon

from .conftest import Start, prepared, spec

WAIT = "open('ready', 'w').write('ready\\n')\nopen('go').readline()\n"


def zipapp(source: str, **modules: str) -> bytes:
    files = {"__main__.py": source, **{f"{name}.py": text for name, text in modules.items()}}
    return write_zipapp({name: text.encode() for name, text in files.items()}, {})


async def image(runner: NativeRunner, source: str, **modules: str) -> Image:
    return await prepared(runner, zipapp(source, **modules))


async def run(runner: NativeRunner, image: Image, workdir: Path, env: dict[str, str] | None = None) -> Exit:
    return await soon(runner.wait(await runner.launch(spec(image, workdir, env))))


def helpers() -> list[int]:
    """The fork servers among our children."""
    found = []
    for pid in map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()):
        if b"helper.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
            found.append(pid)
    return found


def parent(handle: Handle) -> int:
    text = Path(f"/proc/{handle['pid']}/stat").read_text()
    return int(text.rpartition(")")[2].split()[1])


@contextmanager
def installed(source: str) -> Iterator[str]:
    """A module that is installed beside all others."""
    name = f"runtara_test_{secrets.token_hex(6)}"
    file = Path(sysconfig.get_path("purelib"), f"{name}.py")
    file.write_text(source)
    try:
        yield name
    finally:
        file.unlink()


# -- as exec would have it --------------------------------------------------------------------------------

REPORT = """
import atexit, builtins, gc, io, json, locale, os, signal, sys, threading, time
def handlers():
    return [str(signal.getsignal(number)) for number in signal.valid_signals()]
facts = {
    "argv": sys.argv, "orig_argv": sys.orig_argv, "path": sys.path, "executable": sys.executable,
    "flags": str(sys.flags), "environ": dict(os.environ), "cwd": os.getcwd(), "zone": time.tzname,
    "name": __name__, "file": __file__, "package": __package__, "spec": str(__spec__.name),
    "main": sys.modules["__main__"].__dict__ is globals(), "names": sorted(globals().keys() - {"facts"}),
    "fds": [name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")],
    "leader": os.getsid(0) == os.getpid() == os.getpgid(0), "handlers": handlers(), "wakeup": signal.set_wakeup_fd(-1),
    "blocked": str(signal.pthread_sigmask(signal.SIG_BLOCK, [])), "threads": threading.active_count(),
    "gc": [gc.isenabled(), gc.get_threshold(), gc.get_debug()], "umask": os.umask(0o22), "stdin": sys.stdin.read(),
    "streams": [[s.name, s.encoding, s.errors, s.line_buffering] for s in (sys.stdin, sys.stdout, sys.stderr)],
    "links": [os.readlink(f"/proc/self/fd/{n}").rpartition(".")[2] for n in range(3)],
    "runner": [name for name in sys.modules if "runner_native" in name], "locale": locale.setlocale(locale.LC_CTYPE),
    "trace": str(sys.gettrace()), "hook": sys.excepthook is sys.__excepthook__, "prefix": sys.prefix,
}
import asyncio
try:
    asyncio.get_event_loop_policy()._local._set_called
except AttributeError:
    pass
facts["loop was set"] = asyncio.get_event_loop_policy()._local._set_called
open("facts", "w").write(json.dumps(facts))
"""


@pytest.mark.parametrize("env", [{}, {"A": "żółć", "TZ": "Asia/Tokyo", "PYTHONPATH": "/nowhere", "LANG": "C.UTF-8"}])
async def test_what_a_forked_image_sees_is_what_one_that_was_executed_sees(
    start: Start, workdir: Path, env: dict[str, str]
) -> None:
    seen = []
    for fork_server in (True, False):
        runner = await start(NativeSettings(fork_server=fork_server))
        exit = await run(runner, await image(runner, REPORT), workdir, env)
        assert exit.code == 0, exit.stderr
        facts = json.loads((workdir / "facts").read_text())
        # The one flag that the interpreter derives from the locale, at its start and for good.
        facts["flags"] = facts["flags"].replace("utf8_mode=1", "utf8_mode=0")
        seen.append(facts)

    assert seen[0] == seen[1]


ENDS = {
    "falls off": "x = 1",
    "none": "raise SystemExit",
    "number": "raise SystemExit(300)",
    "negative": "import sys; sys.exit(-1)",
    "text": "import sys; sys.exit('what went wrong: ż')",
    "error": "def f():\n    raise ValueError('no')\nf()",
    "chained": "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise RuntimeError('again') from error",
    "syntax": "def",
    "import": "import no_such_module",
    "interrupt": "raise KeyboardInterrupt",
    "hook": "import sys; sys.excepthook = lambda *a: print('hook', a[0], file=sys.stderr)\n1 / 0",
    "atexit": "import atexit, sys; atexit.register(print, 'bye', file=sys.stderr); sys.exit(4)",
    "atexit fails": "import atexit; atexit.register(lambda: 1 / 0)",
    "thread": "import sys, threading, time\ndef late():\n    time.sleep(0.05); print('late', file=sys.stderr)\n"
    "threading.Thread(target=late).start()\nsys.exit(6)",
    "open file": "f = open('left', 'w'); f.write('flushed at the end')",
    "no end": "import os; os._exit(9)",
    "signal": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "abort": "import os; os.abort()",
    "own module": "import helping; helping.help()",
}


@pytest.mark.parametrize("source", ENDS.values(), ids=ENDS.keys())
async def test_a_forked_image_ends_as_one_that_was_executed(start: Start, workdir: Path, source: str) -> None:
    ends = []
    for fork_server in (True, False):
        runner = await start(NativeSettings(fork_server=fork_server))
        exit = await run(runner, await image(runner, source, helping="def help(): raise OSError('own')"), workdir)
        left = workdir / "left"
        stderr = re.sub("0x[0-9a-f]+", "0x…", exit.stderr)
        ends.append((exit.code, exit.signal, stderr, left.read_text() if left.exists() else ""))
        left.unlink(missing_ok=True)

    assert ends[0] == ends[1]


async def test_images_are_forked_unless_it_is_switched_off(start: Start, workdir: Path) -> None:
    for fork_server in (True, False):
        runner = await start(NativeSettings(fork_server=fork_server))
        with Go(made(workdir / str(fork_server))) as go:
            handle = await runner.launch(spec(await image(runner, "open('go').readline()"), workdir / str(fork_server)))
            assert (parent(handle) in helpers()) is fork_server
            assert (parent(handle) == os.getpid()) is not fork_server
            go.say()
            assert (await soon(runner.wait(handle))).code == 0


async def test_another_interpreter_is_executed(start: Start, workdir: Path) -> None:
    await start(NativeSettings(python="/bin/sh"))

    assert helpers() == []


async def test_runs_share_no_randomness_and_nothing_that_another_has_changed(
    runner: NativeRunner, workdir: Path
) -> None:
    source = (
        "import json, os, random, sys, uuid\n"
        "open(os.environ['TO'], 'w').write(json.dumps([random.random(), str(uuid.uuid4()), hasattr(json, 'changed')]))\n"
        "json.changed = 1; sys.path.clear(); os.environ.clear(); random.seed(1)"
    )
    program = await image(runner, source)
    for name in ("first", "second"):
        assert (await run(runner, program, workdir, {"TO": name})).code == 0
    first, second = (json.loads((workdir / name).read_text()) for name in ("first", "second"))

    assert first[0] != second[0]
    assert first[1] != second[1]
    assert first[2] is second[2] is False


async def test_a_module_of_the_image_wins_over_one_that_is_installed(runner: NativeRunner, workdir: Path) -> None:
    program = await image(runner, "import msgspec; raise SystemExit(msgspec.CODE)", msgspec="CODE = 21")

    assert (await run(runner, program, workdir)).code == 21


@pytest.mark.parametrize(
    ("env", "can"),
    [
        ({}, True),
        ({"A": "x" * 60_000, "LANG": "", "LC_ALL": "C.UTF-8", "PYTHONPATH": "/x", "TZ": "UTC"}, True),
        ({"LANG": "pl_PL.ISO-8859-2"}, False),
        ({"LC_ALL": "C"}, False),
        ({"LD_PRELOAD": "/x.so"}, False),
        ({"MALLOC_ARENA_MAX": "1"}, False),
        ({"RUNTARA_FAULT": "instance.before_register"}, False),
        ({"A": "x" * 70_000}, False),
        ({f"A{number}": "x" * 60_000 for number in range(10)}, False),
        ({"A=B": "c"}, False),
        ({"": "c"}, False),
        ({"A": "\0"}, False),
    ],
)
def test_an_environment_that_matters_before_the_program_begins_needs_exec(env: dict[str, str], can: bool) -> None:
    assert forkable(env) is can


async def test_peak_memory_is_that_of_the_program_and_of_what_it_shares_with_the_helper(
    runner: NativeRunner, workdir: Path
) -> None:
    small = await run(runner, await image(runner, "pass"), workdir)
    large = await run(runner, await image(runner, "block = bytearray(b'x') * (64 << 20)"), workdir)

    assert small.memory_peak_bytes is not None and large.memory_peak_bytes is not None
    assert small.memory_peak_bytes < 100 << 20
    assert 60 << 20 < large.memory_peak_bytes - small.memory_peak_bytes < 80 << 20
    assert small.cpu_usec


# -- what the helper is -----------------------------------------------------------------------------------


async def test_the_helper_has_nothing_of_the_servers(
    start: Start, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET_OF_THE_SERVER", "must not be seen")
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    runner = await start()
    await run(runner, await image(runner, "pass"), workdir)
    (pid,) = helpers()

    proc = Path(f"/proc/{pid}")
    assert (proc / "environ").read_bytes() == b"PATH=/usr/local/bin:/usr/bin:/bin\0"
    kinds = sorted(os.readlink(link).partition(":")[0] for link in (proc / "fd").iterdir())
    assert [kind for kind in kinds if kind not in ("pipe", "socket")] == [
        "/dev/null",
        "/dev/null",
        str(runner._folder / "fork_server.stderr"),
    ]
    assert kinds.count("pipe") == 2, "both ends of its own"
    assert kinds.count("socket") == 1
    assert len(list((proc / "task").iterdir())) == 1
    assert os.getsid(pid) == pid
    os.close(reading)
    os.close(writing)


async def test_the_helper_ends_with_the_server_and_its_children_live_on(
    start: Start, data_dir: Path, workdir: Path
) -> None:
    ready = Ready(workdir)
    with Go(workdir) as go:
        server = await Server.start("launch", NativeRunner, {}, data_dir, workdir, zipapp(WAIT + "raise SystemExit(3)"))
        handle = json.loads(await server.line())
        await ready.wait()
        helper = processes.gone(os.pidfd_open(parent(handle)))
        await server.kill()
        await soon(helper)

        runner = await start()
        assert await soon(runner.adopt(handle))
        go.say()
        assert (await soon(runner.wait(handle))).code is None


# -- its death --------------------------------------------------------------------------------------------


async def test_a_helper_that_is_killed_before_a_launch_is_replaced(
    runner: NativeRunner, workdir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    program = await image(runner, "raise SystemExit(4)")
    assert (await run(runner, program, workdir)).code == 4
    (before,) = helpers()
    os.kill(before, signal.SIGKILL)
    for _ in range(3):
        assert (await run(runner, program, workdir)).code == 4

    (after,) = helpers()
    assert after != before
    assert "the fork server died: it was killed by signal 9" in caplog.text


async def test_launches_that_a_helper_dies_under_happen_once(runner: NativeRunner, tmp_path: Path) -> None:
    program = await image(runner, "open('runs', 'a').write('run\\n')\nraise SystemExit(4)")
    folders = [made(tmp_path / f"at-once-{number}") for number in range(10)]
    await run(runner, program, folders[0])
    (folders[0] / "runs").unlink()
    (helper,) = helpers()
    os.kill(helper, signal.SIGSTOP)
    launches = [asyncio.create_task(run(runner, program, folder)) for folder in folders]
    for _ in range(50):
        await asyncio.sleep(0)  # until each has asked
    os.kill(helper, signal.SIGKILL)

    assert [exit.code for exit in await asyncio.gather(*launches)] == [4] * 10
    assert [(folder / "runs").read_text() for folder in folders] == ["run\n"] * 10


async def test_what_a_dead_helper_has_forked_lives_on_and_its_end_is_told(runner: NativeRunner, workdir: Path) -> None:
    ready = Ready(workdir)
    with Go(workdir) as go:
        handle = await runner.launch(spec(await image(runner, WAIT), workdir))
        await ready.wait()
        waiting = asyncio.create_task(runner.wait(handle))
        helper = parent(handle)
        dead = processes.gone(os.pidfd_open(helper))
        os.kill(helper, signal.SIGKILL)
        await soon(dead)
        assert await soon(runner.adopt(handle))
        assert not waiting.done()
        go.say()

        assert (await soon(waiting)).code is None
    assert not await soon(runner.adopt(handle))


async def test_stop_ends_what_a_dead_helper_has_forked(runner: NativeRunner, workdir: Path) -> None:
    ready = Ready(workdir)
    source = "import subprocess; subprocess.Popen(['sleep', '86400'], start_new_session=True)\n" + WAIT
    with Go(workdir):
        handle = await runner.launch(spec(await image(runner, source), workdir))
        await ready.wait()
        os.kill(parent(handle), signal.SIGKILL)
        await soon(runner.stop(handle, 0))

    assert list(processes.marked({handle["mark"]})) == []
    await soon(runner.wait(handle))


async def test_kills_at_random_moments_lose_no_launch(runner: NativeRunner, tmp_path: Path) -> None:
    program = await image(runner, "raise SystemExit(4)")
    for number in range(8):
        folders = [made(tmp_path / f"{number}-{place}") for place in range(4)]
        launches = [asyncio.create_task(run(runner, program, folder)) for folder in folders]
        for _ in range(number * 3):
            await asyncio.sleep(0)
        for pid in helpers():
            os.kill(pid, signal.SIGKILL)
        exits = await soon(asyncio.gather(*launches))
        # What was forked by a helper that is dead has an exit that nobody saw; none has another.
        assert {exit.code for exit in exits} <= {4, None}
        assert [exit.signal for exit in exits] == [None] * 4


async def test_a_helper_that_cannot_work_is_given_up(
    start: Start,
    workdir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = tmp_path / "helper.py"
    broken.write_text("import sys; sys.exit('broken on purpose')")
    monkeypatch.setattr(forkserver, "_HELPER", broken)
    runner = await start()
    program = await image(runner, "raise SystemExit(4)")
    for _ in range(5):
        assert (await run(runner, program, workdir)).code == 4

    assert caplog.text.count("the fork server died") == forkserver.MOST_DEATHS
    assert "it exited with code 1; the end of its stderr: broken on purpose" in caplog.text
    assert "from now on every process is started by exec" in caplog.text


async def test_one_that_hangs_is_killed(
    runner: NativeRunner, workdir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    program = await image(runner, "raise SystemExit(4)")
    assert (await run(runner, program, workdir)).code == 4
    (helper,) = helpers()
    os.kill(helper, signal.SIGSTOP)
    monkeypatch.setattr(forkserver, "PATIENCE_SECONDS", 0.05)

    assert (await run(runner, program, workdir)).code == 4
    assert "it did not answer for 0.05 s" in caplog.text
    assert helper not in helpers()


# -- what is installed ------------------------------------------------------------------------------------


async def test_what_is_installed_later_is_there_for_the_next_launch_and_old_children_keep_their_helper(
    runner: NativeRunner, workdir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    ready = Ready(workdir)
    with Go(workdir) as go:
        old = await runner.launch(spec(await image(runner, WAIT + "raise SystemExit(8)"), workdir))
        await ready.wait()
        helper = parent(old)
        retired = processes.gone(os.pidfd_open(helper))
        with installed("CODE = 17") as name:
            program = await image(runner, f"import {name}; raise SystemExit({name}.CODE)")
            assert (await run(runner, program, made(tmp_path / "other"))).code == 17
        assert f"{sysconfig.get_path('purelib')} has changed" in caplog.text
        assert set(helpers()) > {helper}
        go.say()
        assert (await soon(runner.wait(old))).code == 8
        await soon(retired)
    assert "died" not in caplog.text


@pytest.mark.parametrize("fork_server", [True, False])
async def test_one_that_has_changed_its_own_mark_is_stopped_all_the_same(
    start: Start, workdir: Path, fork_server: bool
) -> None:
    runner = await start(NativeSettings(fork_server=fork_server))
    ready = Ready(workdir)
    source = "import resource; resource.setrlimit(resource.RLIMIT_RTTIME, (10**9, 10**9))\n" + WAIT
    with Go(workdir):
        handle = await runner.launch(spec(await image(runner, source), workdir))
        await ready.wait()
        await soon(runner.stop(handle, 0))

    assert (await soon(runner.wait(handle))).signal == signal.SIGKILL
