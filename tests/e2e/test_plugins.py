"""Packages of a user's own, installed with pip into a directory of theirs: the kernel finds them, nothing else changes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from runtara_framework.errors import Forbidden
from runtara_framework.management import ManagementSdk
from runtara_framework.packaging import read_manifest

from . import programs
from .conftest import BIN, ROOT, Server, until_status


def install(package: Path, target: Path) -> str:
    """`pip install --target`; the PYTHONPATH that makes it count as installed."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--target", str(target), str(package)], check=True)
    return str(target)


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of an installation of examples/plugin_audit."""
    return install(ROOT / "examples" / "plugin_audit", tmp_path_factory.mktemp("audit"))


def runtara(*arguments: str, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "runtara"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environ}, check=False, cwd=cwd)


def test_an_agent_of_ones_own_is_listed_and_called_from_a_scenario() -> None:
    """It is installed with pip like everything else (requirements-dev.txt), and no line of the kernel names it."""
    assert "create-order" in runtara("agents", "list").stdout
    assert "ERP_UNKNOWN_SKU" in runtara("agents", "show", "my-erp").stdout
    scenario = ROOT / "examples" / "agent_my_erp" / "scenario.json"
    done = runtara("run", str(scenario), "--input", '{"sku": "A-1", "quantity": 2}')
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"order": 1, "total_cents": 2500}


def test_a_stdlib_of_ones_own_is_used_by_an_image_and_no_line_of_the_kernel_names_it(tmp_path: Path) -> None:
    folder = ROOT / "examples" / "stdlib_my_product"
    scenario, given = str(folder / "scenario.json"), f"@{folder / 'input.json'}"
    expected = json.loads((folder / "output.json").read_text())

    chosen = runtara("run", scenario, "--input", given, "--stdlib", "my_product_stdlib")
    assert (chosen.returncode, json.loads(chosen.stdout)) == (0, expected), chosen.stderr
    environ = {"RUNTARA_STDLIB_NAME": "my_product_stdlib"}
    assert json.loads(runtara("run", scenario, "--input", given, **environ).stdout) == expected
    assert runtara("validate", scenario, **environ).returncode == 0
    assert "my-prices" in runtara("agents", "list", **environ).stdout

    without = runtara("validate", scenario, "--json")
    assert without.returncode == 1
    assert {finding["code"] for finding in json.loads(without.stdout)} == {"E020", "E062"}

    image = tmp_path / "offer.pyz"
    assert runtara("compile", scenario, "--stdlib", "my_product_stdlib", "-o", str(image)).returncode == 0
    identity = {"name": "my_product_stdlib", "distribution": "my-product-stdlib", "version": "1.2.0"}
    assert (read_manifest(image) or {})["stdlib"] == identity

    named = [path for path in (ROOT / "runtara_framework").rglob("*.py") if "my-prices" in path.read_text()]
    assert not named


def test_an_image_without_its_stdlib_fails_once_and_says_what_is_missing(tmp_path: Path) -> None:
    """Here it is found by the compiler alone: instances see what is installed, and no PYTHONPATH."""
    scenario = tmp_path / "plain.json"
    scenario.write_text('{"entryPoint": "end", "steps": {"end": {"stepType": "Finish", "id": "end"}}}')
    only_here = str(ROOT / "tests" / "data" / "stdlibs")
    done = runtara("run", str(scenario), "--stdlib", "shop", PYTHONPATH=only_here)
    assert (done.returncode, done.stdout) == (1, "")
    error = json.loads(done.stderr.splitlines()[-1])
    assert (error["code"], error["category"]) == ("STDLIB_UNAVAILABLE", "permanent")
    assert error["attributes"] == {
        "stdlib": "shop", "distribution": "shop-stdlib", "version": "1.2.0", "reason": "DRIVER_NOT_FOUND",
    }  # fmt: skip


async def test_a_hook_plugin_sees_refuses_changes_and_adds(server: Server, audit: str, tmp_path: Path) -> None:
    trail = tmp_path / "audit.jsonl"
    environ = {"PYTHONPATH": audit, "AUDIT_FILE": str(trail)}
    server.start(f'transports.environment=["{server.address}", "http://127.0.0.1:0"]', **environ)
    async with ManagementSdk(server.address, tenant_id="protected") as sdk:
        program = programs.COUNTER.replace(b'{"total": total}', b'{"audited": __import__("os").environ["AUDITED"]}')
        image = await sdk.register_image(name="counter", binary=program)
        started = await sdk.start_instance(image_id=image.image_id, instance_id="it", input={"steps": 2})
        with pytest.raises(Forbidden, match="refused by a plugin"):
            await sdk.stop_instance(started.instance_id)
        assert (await until_status(sdk, "it", "completed")).output == {"audited": "yes"}
    address = next(line.split()[1] for line in server.log if line.startswith("environment: http"))
    async with httpx.AsyncClient(base_url=address) as client:
        assert '"what": "changed"' in (await client.get("/audit")).text
    assert server.stop() == 0
    lines = [json.loads(line) for line in trail.read_text().splitlines()]
    changes = [(line["before"], line["after"]) for line in lines if line["what"] == "changed"]
    assert changes == [(None, "pending"), ("pending", "running"), ("running", "completed")]
    assert [line["checkpoint"] for line in lines if line["what"] == "checkpoint"] == ["step-0", "step-1"]
    assert (lines[0]["what"], lines[-1]["what"]) == ("started", "stopping")
    assert '"what": "started"' in runtara("audit", **environ).stdout


def test_a_hook_plugin_may_refuse_the_start_and_judge_scenarios(server: Server, audit: str, tmp_path: Path) -> None:
    process = server.spawn("server.max_concurrent_instances=1001", PYTHONPATH=audit)
    _, err = process.communicate()
    assert process.returncode == 2
    assert "the audit plugin allows at most 1000 instances at once" in err
    (tmp_path / "plain.json").write_text('{"entryPoint": "end", "steps": {"end": {"stepType": "Finish", "id": "end"}}}')
    for command in ("validate", "compile"):
        judged = runtara(command, str(tmp_path / "plain.json"), PYTHONPATH=audit, cwd=tmp_path)
        assert judged.returncode == 0
        assert "AUDIT1" in judged.stderr
    program = (
        "import json, sys; from runtara_framework.compiler import *; "
        "given = CompilationInput('s', json.load(sys.stdin)); "
        "print([f.code for f in compile_scenario(given).findings], [f.code for f in check_scenario(given).findings])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=(tmp_path / "plain.json").read_text(), capture_output=True, text=True,
        check=True, env={**os.environ, "PYTHONPATH": audit},
    )  # fmt: skip
    assert done.stdout == "['AUDIT1'] ['AUDIT1']\n"
