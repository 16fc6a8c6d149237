from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtara_framework.errors import NotAWorkflow
from runtara_framework.packaging import read_manifest
from runtara_framework.sdk.package import build

WORKFLOW = """
from runtara_framework.sdk.durable import workflow

@workflow
async def process(ctx, input):
    return input

async def tidy(ctx): ...

@workflow(name="Nightly report", on_cancel=tidy)
async def report(ctx):
    return None

async def plain(ctx): ...
"""
TYPED = """
from __future__ import annotations
import pydantic
from runtara_framework.sdk.durable import workflow

class Order(pydantic.BaseModel):
    id: str

@workflow
async def process(ctx: object, input: Order) -> str:
    return input.id
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project in the current directory."""
    (tmp_path / "single.py").write_text(WORKFLOW)
    (tmp_path / "beside.py").write_text("not_part_of_it = True")
    (tmp_path / "broken.py").write_text("import a_library_that_is_not_installed")
    (tmp_path / "raises.py").write_text("1 / 0")
    package = tmp_path / "orders"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "flow.py").write_text(TYPED)
    (package / "data" / "rates.csv").write_text("a,1")
    (package / ".hidden").write_text("no")
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "flow.pyc").write_bytes(b"no")
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def names(image: bytes) -> set[str]:
    with zipfile.ZipFile(io.BytesIO(image)) as archive:
        return set(archive.namelist())


def test_a_module_becomes_an_image_with_a_manifest() -> None:
    image = build("single:process")
    assert names(image) == {"__main__.py", "runtara.json", "single.py"}
    assert read_manifest(image) == {"kind": "python", "format": 1, "name": "process", "entry": "single:process"}
    report = read_manifest(build("single:report")) or {}
    assert (report["name"], report["onCancel"]) == ("Nightly report", True)
    assert (read_manifest(build("single:process", name="other")) or {})["name"] == "other"


def test_a_package_comes_whole_with_its_data() -> None:
    image = build("orders.flow:process")
    assert names(image) == {
        "__main__.py",
        "runtara.json",
        "orders/__init__.py",
        "orders/flow.py",
        "orders/data/rates.csv",
    }
    manifest = read_manifest(image) or {}
    assert manifest["inputSchema"]["required"] == ["id"]


def test_the_same_files_give_the_same_bytes() -> None:
    first = build("orders.flow:process")
    for path in Path("orders").rglob("*"):
        path.touch()
    assert build("orders.flow:process") == first


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("single", "not of the form module:function"),
        ("single:", "not of the form"),
        ("single:a b", "not of the form"),
        ("nowhere:x", "there is no module 'nowhere' here"),
        ("orders.nowhere:x", r"there is no module 'orders\.nowhere' here"),
        ("broken:x", "needs 'a_library_that_is_not_installed', which is not installed"),
        ("raises:x", "cannot be imported: ZeroDivisionError"),
        ("single:proces", "has no 'proces'; did you mean 'process'"),
        ("single:zzz", "its workflows: process, report"),
        ("beside:zzz", "nothing in it is marked"),
        ("single:plain", "plain is not marked with @workflow"),
    ],
)
def test_a_target_that_is_no_workflow_says_why(target: str, why: str) -> None:
    with pytest.raises(NotAWorkflow, match=why):
        build(target)


def test_a_package_that_has_an_entry_of_its_own_keeps_it() -> None:
    Path("orders/__main__.py").write_text("print('mine')")
    assert "orders/__main__.py" in names(build("orders.flow:process"))


def test_a_memory_tier_is_in_the_manifest_and_has_to_exist() -> None:
    head = "from runtara_framework.sdk.durable import workflow\n"
    Path("tiered.py").write_text(head + '@workflow(memory_tier="M")\nasync def flow(ctx): ...\n')
    Path("untiered.py").write_text(head + '@workflow(memory_tier="XXL")\nasync def flow(ctx): ...\n')
    assert (read_manifest(build("tiered:flow")) or {})["memoryTier"] == "M"
    assert "memoryTier" not in (read_manifest(build("single:process")) or {})
    with pytest.raises(NotAWorkflow, match="memory_tier is one of S, M, L, XL, not 'XXL'"):
        build("untiered:flow")


def test_the_import_path_is_left_as_it_was() -> None:
    before = list(sys.path)
    build("single:process")
    assert sys.path == before
