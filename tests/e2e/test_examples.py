"""Each example of examples/steps does what the files beside it say: `.output.json`, `.error.json`, `.events.json`.

One server and one service for all; what a person does meanwhile (answer, resume, cancel) is done here.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

import pytest

from runtara_framework.agents.registry import AgentRegistry
from runtara_framework.compiler import ChildScenario, CompilationInput, compile_scenario
from runtara_framework.dsl.steps import STEP_MODELS
from runtara_framework.dsl.validation import validate
from runtara_framework.management import ManagementSdk

from .conftest import ROOT, Server, until_status
from .test_cli import last_error, runtara

STEPS = ROOT / "examples" / "steps"
EXAMPLES = sorted(path.stem for path in STEPS.glob("*.json") if "." not in path.stem)
DOCUMENTED = "http://127.0.0.1:8090"  # where service.py listens when a person starts it

_spec = spec_from_file_location("examples_steps_service", STEPS / "service.py")
assert _spec is not None and _spec.loader is not None
services = module_from_spec(_spec)
_spec.loader.exec_module(services)


def part(name: str, kind: str = "") -> Any:
    """A file of an example: the scenario, or its input, output, error, events; None if it has none."""
    path = STEPS / f"{name}{kind}.json"
    return json.loads(path.read_text()) if path.exists() else None


def children(name: str) -> dict[str, dict[str, Any]]:
    """The scenarios beside it that it starts, by id: `start-scenario.child.discount.json`."""
    return {path.name.split(".")[2]: json.loads(path.read_text()) for path in STEPS.glob(f"{name}.child.*.json")}


@pytest.fixture(scope="module")
def service() -> Iterator[Any]:
    with services.serving() as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, service: Any) -> Iterator[Server]:
    """One server for all examples. It keeps nothing in a process that waits for a person."""
    server = Server(tmp_path_factory.mktemp("examples") / "data")
    server.start(RUNTARA_CONNECTION_SERVICE_URL=f"{service.url}/connections")
    yield server
    assert server.stop() == 0, "".join(server.log)


@pytest.fixture
async def sdk(server: Server) -> AsyncIterator[ManagementSdk]:
    async with ManagementSdk(server.address, tenant_id="acme") as sdk:
        yield sdk


async def answer(sdk: ManagementSdk, instance_id: str) -> None:
    """Send the payload beside the example to the wait key that it asked for."""
    info = await until_status(sdk, instance_id, "suspended", "failed")
    assert info.reason == "waiting_signal", info.error
    (asked,) = [event for event in await events(sdk, instance_id) if event["subtype"] == "external_input_requested"]
    await sdk.send_custom_signal(instance_id, asked["payload"]["signal_id"], part("wait-for-signal", ".signal"))


async def resume(sdk: ManagementSdk, instance_id: str) -> None:
    info = await until_status(sdk, instance_id, "suspended", "failed")
    assert info.reason == "breakpoint", info.error
    await sdk.resume_instance(instance_id)


async def cancel(sdk: ManagementSdk, instance_id: str) -> None:
    await until_status(sdk, instance_id, "running")
    await sdk.cancel_instance(instance_id)


MEANWHILE: dict[str, Callable[[ManagementSdk, str], Awaitable[None]]] = {
    "wait-for-signal": answer,
    "breakpoint": resume,
    "on-cancel": cancel,
}


async def events(sdk: ManagementSdk, instance_id: str) -> list[dict[str, Any]]:
    """What the instance told, beside what every debug run tells."""
    page = await sdk.list_events(instance_id, sort_order="asc", limit=1000)
    custom = [event for event in page.events if event.event_type == "custom"]
    return [
        {"subtype": event.subtype, "payload": event.payload}
        for event in custom
        if not (event.subtype or "").startswith("step_debug")
    ]


def as_documented(value: Any, service: Any) -> Any:
    """With the address that a person sees, and without times of day."""
    text = json.dumps(value).replace(service.url, DOCUMENTED)
    return json.loads(re.sub(r'"timestamp_ms": \d+', '"timestamp_ms": 0', text))


@pytest.mark.parametrize("name", EXAMPLES)
async def test_an_example_does_what_the_files_beside_it_say(name: str, sdk: ManagementSdk, service: Any) -> None:
    scenario, data = part(name), part(name, ".input") or {}
    declared = scenario.get("executionGraph", scenario).get("variables", {})
    value = {"data": data, "variables": {"service": service.url}} if "service" in declared else data
    image = compile_scenario(
        CompilationInput(
            tenant_id="acme",
            scenario_id=name,
            execution_graph=scenario,
            child_scenarios=[ChildScenario(child_id, graph) for child_id, graph in children(name).items()],
        )
    )
    registered = await sdk.register_image(name=name, binary=image.binary)
    started = await sdk.start_instance(image_id=registered.image_id, input=value)
    if name in MEANWHILE:
        await MEANWHILE[name](sdk, started.instance_id)
    info = await sdk.wait_for_completion(started.instance_id, timeout=30)
    seen = {".output": info.output, ".error": info.error, ".events": await events(sdk, started.instance_id)}
    for kind, found in seen.items():
        assert as_documented(found or None, service) == part(name, kind), kind
    ended = "cancelled" if name == "on-cancel" else "failed" if part(name, ".error") else "completed"
    assert info.status == ended


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_without_findings_and_says_what_it_shows(name: str) -> None:
    scenario = part(name)
    assert validate(scenario, agents=AgentRegistry(), children=children(name)).findings == ()
    assert scenario.get("executionGraph", scenario)["description"]


def test_every_step_type_has_an_example_of_its_name() -> None:
    for kind in STEP_MODELS:
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind).lower()
        found = [example for example in EXAMPLES if example == name or example.startswith(f"{name}-")]
        assert found, f"there is no examples/steps/{name}.json"
        for example in found:
            assert f'"stepType": "{kind}"' in (STEPS / f"{example}.json").read_text()


def test_the_command_line_prints_what_the_files_say() -> None:
    child = f"discount={STEPS}/start-scenario.child.discount.json"
    run = runtara(
        "run", str(STEPS / "start-scenario.json"), "--child", child, "--input", f"@{STEPS}/start-scenario.input.json"
    )
    assert (run.returncode, json.loads(run.stdout)) == (0, part("start-scenario", ".output"))
    run = runtara("run", str(STEPS / "error.json"), "--input", f"@{STEPS}/error.input.json")
    assert (run.returncode, run.stdout, last_error(run)) == (1, "", part("error", ".error"))
