"""The command line as a user types it: results on stdout, everything else on stderr, an exit code that says how it went."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .conftest import BIN, ROOT, Server, Shop, order_input, order_scenario

ORDER = ROOT / "examples" / "order_processing" / "order.json"


def runtara(*arguments: str, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [str(BIN / "runtara"), *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **environ},
        check=False,
    )


def last_error(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
    return error


def test_run_prints_the_result_alone(shop: Shop, tmp_path: Path) -> None:
    done = runtara("run", str(ORDER), "--input", json.dumps(order_input(shop)), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "accepted"
    assert not (tmp_path / ".data").exists(), "a throw-away server leaves nothing behind"


def test_run_reads_its_input_from_a_file(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text(json.dumps(order_input(shop)))
    done = runtara("run", str(ORDER), "--input", "@in.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_make_run_shows_the_examples_result() -> None:
    done = subprocess.run(
        [str(BIN / "python"), str(ROOT / "examples/order_processing")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["orderId"] == "ORD-456"
    assert done.stderr.count("shop: ") == 2


def test_a_failed_run_ends_with_the_structured_error(shop: Shop, tmp_path: Path) -> None:
    value = order_input(shop)
    value["variables"]["service"] = f"{shop.url}/nowhere"
    done = runtara("run", str(ORDER), "--input", json.dumps(value), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    error = last_error(done)
    assert (error["code"], error["stepId"], error["category"]) == ("HTTP_4XX", "validate", "permanent")


def test_an_invalid_scenario_lists_its_findings_and_runs_nothing(tmp_path: Path) -> None:
    document = order_scenario()
    document["executionPlan"][0]["toStep"] = "chekc"
    (tmp_path / "broken.json").write_text(json.dumps(document, indent=1))
    done = runtara("run", "broken.json", cwd=tmp_path)
    assert done.returncode == 2
    assert last_error(done)["code"] == "SCENARIO_INVALID"
    assert "E014" in done.stderr
    assert "chekc" in done.stderr
    listed = runtara("validate", "broken.json", "--json", cwd=tmp_path)
    assert listed.returncode == 1
    findings = json.loads(listed.stdout)
    assert {"code", "severity", "stepId", "pointer", "message", "suggestion"} <= set(findings[0])
    assert runtara("validate", str(ORDER)).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "missing.json"], "missing.json cannot be read"),
        (["run", str(ORDER), "--input", "{nope"], "is no JSON"),
        (["run", str(ORDER), "--input", "@missing.json"], "missing.json cannot be read"),
        (["run", str(ORDER), "--child", "nothing"], "--child wants ID=FILE"),
        (["run", str(ORDER), "--input", '{"order": 5}'], "the input does not fit"),
        (["run", str(ORDER), "--config", "missing.toml"], "missing.toml does not exist"),
        (["agents", "show", "htpp"], "did you mean"),
        (["instances", "list", "--server", "unix:///nowhere.sock"], "nowhere.sock"),
        (["build", "nonsense"], "module:function"),
        (["compile", str(ORDER), "--target", "zipap"], "did you mean 'zipapp'?"),
        (
            ["compile", str(ORDER), "--targt=zipapp"],
            "runtara compile: unrecognized arguments: --targt=zipapp (did you mean",
        ),
        (["instances", "start", "order", "--timeout", "soon"], "runtara instances start: argument --timeout"),
        (["instances"], "runtara instances --help"),
        ([], "required: COMMAND"),
    ],
)
def test_a_mistake_is_told_in_words_and_as_json(arguments: list[str], words: str, tmp_path: Path) -> None:
    done = runtara(*arguments, cwd=tmp_path)
    assert done.returncode in (2, 5)
    assert done.stdout == ""
    assert words in done.stderr
    assert last_error(done)["code"]


def test_interrupting_a_run_cancels_it_cleanly(tmp_path: Path) -> None:
    from runtara_framework.packaging import read_manifest  # the compiled image is a real archive

    document = {
        "steps": {
            "nap": {
                "stepType": "Agent",
                "id": "nap",
                "agentId": "utils",
                "capabilityId": "delay-in-ms",
                "inputMapping": {"delay_value": {"valueType": "immediate", "value": 600_000}},
            },
            "end": {"stepType": "Finish", "id": "end"},
        },
        "entryPoint": "nap",
        "executionPlan": [{"fromStep": "nap", "toStep": "end"}],
    }
    (tmp_path / "nap.json").write_text(json.dumps(document))
    assert runtara("compile", "nap.json", cwd=tmp_path).returncode == 0
    assert (read_manifest((tmp_path / "nap.pyz").read_bytes()) or {})["kind"] == "scenario"
    command = [str(BIN / "runtara"), "run", "nap.json", "--data-dir", "kept", "--instance-id", "it"]
    run = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _until_running(tmp_path / "kept")
    run.send_signal(signal.SIGINT)
    out, err = run.communicate()
    assert (run.returncode, out) == (130, ""), err
    assert json.loads(err.splitlines()[-1])["code"] == "CANCELLED"


def _until_running(data_dir: Path) -> None:
    """Return when the instance has its working directory, so its process has been launched."""
    import time

    deadline = time.monotonic() + 30
    while not list(data_dir.glob("runs/default/it")):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_commands_drive_a_running_server(server: Server, shop: Shop, tmp_path: Path) -> None:
    server.start()
    at = ["--server", server.address, "--tenant", "acme"]
    compiled = runtara("compile", str(ORDER), "-o", "order.pyz", cwd=tmp_path)
    assert compiled.returncode == 0, compiled.stderr
    registered = runtara("images", "register", "order.pyz", *at, cwd=tmp_path)
    assert registered.returncode == 0, registered.stderr
    image_id = json.loads(registered.stdout)["image_id"]
    assert json.loads(runtara("images", "show", "order", *at).stdout)["image_id"] == image_id
    (tmp_path / "in.json").write_text(json.dumps(order_input(shop)))
    done = runtara("instances", "start", "order", "--input", "@in.json", "--wait", *at, cwd=tmp_path)
    assert json.loads(done.stdout)["status"] == "accepted"
    started = runtara("instances", "start", "order", "--input", "@in.json", "--instance-id", "two", *at, cwd=tmp_path)
    assert json.loads(started.stdout) == {"instance_id": "two", "deduplicated": False}
    assert json.loads(runtara("instances", "wait", "two", *at).stdout)["status"] == "accepted"
    assert "two" in runtara("instances", "list", "--status", "completed", *at).stdout
    assert json.loads(runtara("instances", "show", "two", *at).stdout)["status"] == "completed"
    assert "validate" in runtara("instances", "checkpoints", "two", *at).stdout
    assert '"completed"' in runtara("instances", "events", "two", *at).stdout
    events = runtara("instances", "events", "two", "--limit", "1", *at)
    assert (len(events.stdout.splitlines()), "1 of " in events.stderr) == (1, True)
    ended = runtara("instances", "resume", "two", *at)
    assert (ended.returncode, last_error(ended)["code"]) == (2, "INVALID_INSTANCE_STATE")
    missing = runtara("instances", "show", "three", *at)
    assert (missing.returncode, last_error(missing)["code"]) == (2, "INSTANCE_NOT_FOUND")


def test_the_tables_of_what_is_installed() -> None:
    assert "http-request" in runtara("agents", "list").stdout
    shown = runtara("agents", "show", "http/http-request").stdout
    assert "timeout_ms" in shown
    assert "-> status_code: integer" in shown
    assert "-> number" in runtara("agents", "show", "utils/calculate").stdout
    plugins = json.loads(runtara("plugins", "--json").stdout)
    assert {"native", "mock", "sqlite", "timer", "unix", "http"} <= {plugin["name"] for plugin in plugins}
    assert not [plugin for plugin in plugins if plugin["state"] == "broken"]
    shown = runtara("config", "show", RUNTARA_DATABASE_URL="postgresql://me:hunter2@db/x").stdout
    assert "postgresql://me:***@db/x" in shown
    assert "RUNTARA_DATABASE_URL" in shown
    assert "hunter2" not in shown
    assert json.loads(runtara("schema").stdout)["$schema"]


def test_a_run_that_waits_for_a_person_says_how_to_answer(tmp_path: Path) -> None:
    steps = ROOT / "examples" / "steps"
    given = ["run", str(steps / "wait-for-signal.json"), "--input", f"@{steps / 'wait-for-signal.input.json'}"]
    kept = runtara(*given, "--data-dir", "kept", "--instance-id", "it", cwd=tmp_path)
    assert (kept.returncode, kept.stdout) == (4, "")
    assert "runtara-server --data-dir kept" in kept.stderr
    assert "it approval JSON" in kept.stderr
    assert last_error(kept)["code"] == "WAITING_SIGNAL"
    command = [str(BIN / "runtara"), *given]
    run = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert run.stderr is not None
    hint = run.stderr.readline()
    assert "waits for a signal; in another terminal: runtara signal --server unix://" in hint
    run.send_signal(signal.SIGINT)
    _, err = run.communicate()
    assert run.returncode == 130, err


def test_interrupting_a_wait_says_which_instance_goes_on(server: Server, tmp_path: Path) -> None:
    server.start()
    at = ["--server", server.address, "--tenant", "acme"]
    steps = ROOT / "examples" / "steps"
    compiled = runtara("compile", str(steps / "wait-for-signal.json"), "-o", "ask.pyz", cwd=tmp_path)
    assert compiled.returncode == 0, compiled.stderr
    assert runtara("images", "register", "ask.pyz", *at, cwd=tmp_path).returncode == 0
    given = f"@{steps / 'wait-for-signal.input.json'}"
    command = [str(BIN / "runtara"), "instances", "start", "ask", "--input", given, "--wait", *at]
    wait = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _until_waiting(at)
    wait.send_signal(signal.SIGINT)
    out, err = wait.communicate()
    [instance] = json.loads(runtara("instances", "list", "--json", *at).stdout)
    assert (wait.returncode, out, instance["status"]) == (130, "", "suspended")
    assert f"runtara instances wait {instance['instance_id']}" in err
    assert runtara("instances", "cancel", instance["instance_id"], *at).returncode == 0


def _until_waiting(at: list[str]) -> None:
    """Return when an instance waits for a signal, so the command that started it waits as well."""
    import time

    deadline = time.monotonic() + 30
    while "waiting_signal" not in runtara("instances", "list", *at).stdout:
        assert time.monotonic() < deadline
        time.sleep(0.01)
