"""What an import may not bring along, measured in a fresh interpreter: instances start fast, and so does the CLI."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SERVER = {"aioquic", "alembic", "pluggy", "sqlalchemy", "starlette", "stevedore", "uvicorn"}
HEAVY = SERVER | {"httpx", "jinja2", "pydantic"}

BUDGETS = {
    "runtara_framework": HEAVY | {"asyncio", "msgspec", "socket"},
    "runtara_framework.clock": HEAVY | {"msgspec"},
    "runtara_framework.errors": HEAVY | {"asyncio", "msgspec", "socket"},
    "runtara_framework.faults": HEAVY | {"asyncio", "socket"},
    "runtara_framework.model": HEAVY | {"asyncio", "socket"},
    "runtara_framework.states": HEAVY | {"asyncio", "socket"},
    "runtara_framework.protocol": HEAVY | {"asyncio", "socket"},
    "runtara_framework.protocol.operations": HEAVY | {"asyncio", "socket"},
    "runtara_framework.protocol.messages": HEAVY | {"asyncio", "socket"},
    # Everything that an instance imports before its first step.
    "runtara_framework.sdk": HEAVY,
    "runtara_framework.sdk.bootstrap": HEAVY,
    "runtara_framework.runtime": HEAVY,
    "runtara_framework.agents": HEAVY,
    "runtara_framework.stdlib": HEAVY,
    # An author's machine and a product's client.
    "runtara_framework.management": HEAVY,
    "runtara_framework.cli": HEAVY,
    "runtara_framework.dsl": SERVER | {"asyncio", "httpx"},
    "runtara_framework.compiler": SERVER | {"httpx"},
    # Contracts declare settings with pydantic, but need no server.
    "runtara_framework.spec.agent": SERVER - {"pluggy"} | {"httpx"},
    "runtara_framework.spec.runner": SERVER - {"pluggy"} | {"httpx"},
    "runtara_framework.config": SERVER | {"httpx"},
    "runtara_framework.extension": {"alembic", "sqlalchemy", "starlette", "httpx"},
    "runtara_framework.services": {"alembic", "sqlalchemy", "starlette", "httpx"},
    "runtara_framework.transport_local": SERVER - {"pluggy"} | {"httpx"},
    "runtara_framework.scheduling": SERVER - {"pluggy"} | {"httpx"},
    # Migrations are the only user of alembic, which costs more than all the rest together.
    "runtara_framework.storage": {"alembic", "starlette", "httpx"},
    "runtara_framework.kernel": {"alembic", "sqlalchemy", "starlette", "httpx"},
}


@pytest.mark.parametrize("module", BUDGETS)
def test_an_import_brings_nothing_heavy(module: str) -> None:
    program = f"import sys, json, {module}; print(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr

    brought = {name.split(".")[0] for name in json.loads(run.stdout)}

    assert not brought & BUDGETS[module]
