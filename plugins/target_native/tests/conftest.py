"""One executable for all tests, and an empty root filesystem to run it in."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from runtara_framework.agents.registry import AgentRegistry
from runtara_framework.clock import SystemClock
from runtara_framework.compiler import CompilationInput, CompilationResult, compile_scenario
from runtara_framework.protocol.channel import Body
from runtara_framework.protocol.operations import OPERATIONS, Operation, Protocol
from runtara_framework.spec.driver import DriverContext
from runtara_framework.spec.transport import Caller
from runtara_framework.testing.memory_core import MemoryCore, MemoryInstance
from runtara_framework.transport_local.server import LocalSettings, LocalTransport

DATA = Path(__file__).parent / "data"
# A new user namespace, where needed, may change its root; no other one is needed.
UNSHARE = [shutil.which("unshare") or "unshare", *([] if os.geteuid() == 0 else ["--map-root-user"])]


def _agent(step_id: str, agent_id: str, capability_id: str, **inputs: Any) -> dict[str, Any]:
    return {
        "stepType": "Agent",
        "id": step_id,
        "agentId": agent_id,
        "capabilityId": capability_id,
        "inputMapping": inputs,
    }


def ref(path: str) -> dict[str, str]:
    """A reference."""
    return {"valueType": "reference", "value": path}


SCENARIO: dict[str, Any] = {
    "name": "greeting",
    "entryPoint": "greet",
    "inputSchema": {"name": {"type": "string", "required": True}},
    "steps": {
        "greet": _agent("greet", "Greeter", "greet", name=ref("data.name")),
        "look": _agent("look", "probe", "look"),
        "done": {
            "stepType": "Finish",
            "id": "done",
            "inputMapping": {
                "text": {"valueType": "template", "value": "{{ shout(steps.greet.outputs.text) }}"},
                "seen": ref("steps.look.outputs"),
            },
        },
    },
    "executionPlan": [{"fromStep": "greet", "toStep": "look"}, {"fromStep": "look", "toStep": "done"}],
}


@pytest.fixture(scope="session", autouse=True)
def _greeter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The distribution `greeter`, installed as far as Python can tell, and a cache of this session's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DATA))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def compiled(**fields: Any) -> CompilationResult:
    """A scenario of ours as a native executable."""
    given = {"scenario_id": "greeting", "execution_graph": SCENARIO, "target": "native", "stdlib": "greeter", **fields}
    return compile_scenario(CompilationInput(**given), agents=AgentRegistry())


@pytest.fixture(scope="session")
def executable(_greeter: None) -> bytes:
    """The one that takes long to make."""
    return compiled().binary


@pytest.fixture
def root(tmp_path: Path, executable: bytes) -> Path:
    """A root filesystem that holds nothing but the program."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "program").write_bytes(executable)
    (root / "program").chmod(0o755)
    return root


def inside(root: Path, environ: Mapping[str, str] | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the program in its root filesystem. Without the environment of an instance it says so, and ends with 1."""
    command = [*UNSHARE, f"--root={root}", "--wd=/", "/program"]
    return subprocess.run(command, env=environ or {}, capture_output=True, text=True, check=False, **options)


def tree(parent: Path) -> Path:
    """Where a program has unpacked its Python."""
    (found,) = (parent / f"runtara-native-{os.geteuid()}").iterdir()
    return found


class Core:
    """What the program talks to: the core protocol on a real socket in its root filesystem, and a launcher."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.memory = MemoryCore(SystemClock())
        self.kill_after_each_checkpoint = False
        self.process: asyncio.subprocess.Process | None = None
        self.operations: Mapping[str, Operation[Any, Any]] = OPERATIONS[Protocol.CORE]
        self.max_message_bytes = 2**20

    async def handle(
        self, operation: Operation[Any, Any], request: Any, caller: Caller, body: Body | None = None
    ) -> Any:
        instance = self.memory.fenced(caller.token, request.instance_id)
        answer = await getattr(self.memory, operation.name)(instance, request)
        if operation.name == "save_checkpoint" and self.kill_after_each_checkpoint and not answer.found:
            assert self.process is not None
            self.process.kill()
        return answer

    async def run(self, value: Any, *, outside: bool = False, **environ: str) -> MemoryInstance:
        """One launch of a new instance after the other, until it has ended. `outside`: as a program of this machine."""
        command = [str(self.root / "program")] if outside else [*UNSHARE, f"--root={self.root}", "--wd=/", "/program"]
        instance = self.memory.create(value)
        while str(instance.status) in ("pending", "running"):
            given = {
                "RUNTARA_INSTANCE_ID": instance.instance_id,
                "RUNTARA_TENANT_ID": instance.tenant_id,
                "RUNTARA_SERVER_ADDR": f"unix://{self.root if outside else ''}/core.sock",
                "RUNTARA_TOKEN": self.memory.launch(instance.instance_id),
            }
            self.process = await asyncio.create_subprocess_exec(
                *command, env={**given, **environ}, cwd=self.root, stderr=asyncio.subprocess.PIPE
            )
            _, said = await self.process.communicate()
            assert self.process.returncode in (0, -9), said.decode()
        return instance


@pytest.fixture
async def core(root: Path) -> AsyncIterator[Core]:
    """A core that listens in the root filesystem."""
    core = Core(root)
    context = DriverContext(clock=SystemClock(), data_dir=root, node_id="test", logger=logging.getLogger("core"))
    async with AsyncExitStack() as stack:
        await LocalTransport(LocalSettings(), context).serve(f"unix://{root}/core.sock", core, stack)
        yield core
