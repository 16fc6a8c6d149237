"""Starts one process: its own session, exactly the environment that it is given, nothing of the server's.

`subprocess` starts it with vfork, so the price does not grow with the server's memory (0.2 ms, with 1 MB or 400 MB). The
process is a child of the server that `subprocess` knows nothing of: the runner alone waits for it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
from pathlib import Path

from runtara_framework.errors import LaunchFailed
from runtara_runner_native.images import interpreter_of, machine_of

PATH = "/usr/local/bin:/usr/bin:/bin"
"""What a process gets whose environment has no PATH."""

_BUSY_TRIES = 20


async def start(command: list[str], env: dict[str, str], workdir: Path, stdout: int, stderr: int) -> int:
    """Start a process and return its pid. Raises `LaunchFailed`, after which there is none."""
    program = Path(command[-1])
    for tries in range(1, _BUSY_TRIES + 1):
        try:
            return _spawn(command, env, workdir, stdout, stderr)
        except OSError as error:
            # A process that another part of the server is just forking holds the descriptor that the image was written
            # through, until its exec. There is nothing to wait on, and it takes less than a millisecond.
            if error.errno != errno.ETXTBSY or tries == _BUSY_TRIES:
                raise LaunchFailed(_reason(error, command[0], program, env, workdir)) from error
            await asyncio.sleep(0.001 * tries)
        except ValueError as error:
            raise LaunchFailed(f"the environment cannot be given to a process: {error}") from error
    raise AssertionError("the last try returns or raises")


def _spawn(command: list[str], env: dict[str, str], workdir: Path, stdout: int, stderr: int) -> int:
    process = subprocess.Popen(
        command,
        env={"PATH": PATH, **env},
        cwd=workdir,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )
    process.returncode = 0  # else Popen would warn, and one day wait for the pid in our place
    return process.pid


def _reason(error: OSError, executable: str, program: Path, env: dict[str, str], workdir: Path) -> str:
    """What to tell the owner of the image. exec says ENOENT for four different things."""
    if not workdir.is_dir():
        return f"the working directory {workdir} does not exist"
    if not program.is_file():
        return f"{program} is gone: the image must be prepared again on this machine"
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
        missing = interpreter_of(program) if executable == str(program) else executable
        return f"the program's interpreter {missing or '(its dynamic loader)'!s} does not exist on this machine"
    if error.errno == errno.ENOEXEC:
        return f"this machine ({os.uname().machine}) cannot run the program: it is for {machine_of(program)}"
    if error.errno == errno.EACCES:
        return (
            f"executing {program} is not permitted: its interpreter is no executable, or {program.parents[1]} is on a "
            "file system mounted with noexec (then move [server] data_dir)"
        )
    if error.errno == errno.E2BIG:
        size = sum(len(name) + len(value) for name, value in env.items())
        return f"the environment is larger than the system allows: {len(env)} variables, {size} characters"
    return f"starting the process failed: {error.strerror or error}"
