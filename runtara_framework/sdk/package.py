"""`build`: a Python workflow as an image, a file that runs by itself.

The image is a zipapp: `__main__.py`, the files of the workflow's own module or of its whole top-level package, and
`runtara.json`. What else it imports must be installed where it runs. Equal files give equal bytes.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from runtara_framework.errors import NotAWorkflow
from runtara_framework.packaging import MAIN, MANIFEST, write_zipapp
from runtara_framework.sdk.durable import MARK, MEMORY_TIER, ON_CANCEL, input_type, program

FORMAT = 1
"""Of the manifest, and of what the image expects of the SDK."""
ENTRY = """\
from {module} import {function}
from runtara_framework.sdk.bootstrap import run
from runtara_framework.sdk.durable import program

run(program({function}))
"""
_SKIPPED = ("__pycache__", ".pyc", ".pyo")


def build(target: str, *, name: str | None = None) -> bytes:
    """The image of `module:function`, a function marked `@workflow`. Modules are looked for in the current directory, too.
    `name` is the image's; by default the workflow's. Raises `NotAWorkflow`, which says what is wrong with the target."""
    module_name, separator, function_name = target.partition(":")
    if not separator or not module_name or not function_name.isidentifier():
        raise NotAWorkflow(f"{target!r} is not of the form module:function, for example orders.flow:process")
    module = _imported(module_name, target)
    function = getattr(module, function_name, None)
    if function is None:
        raise NotAWorkflow(f"module {module_name!r} has no {function_name!r}{_nearest(function_name, module)}")
    program(function)  # raises what is wrong with it
    manifest: dict[str, Any] = {
        "kind": "python",
        "format": FORMAT,
        "name": name or getattr(function, MARK),
        "entry": target,
    }
    if getattr(function, ON_CANCEL, None) is not None:
        manifest["onCancel"] = True  # a cancel of an instance that does not run launches it
    if (tier := getattr(function, MEMORY_TIER, None)) is not None:
        manifest["memoryTier"] = tier
    schema = _input_schema(function)
    if schema is not None:
        manifest["inputSchema"] = schema
    files = _files(module)
    taken = sorted({MAIN, MANIFEST} & files.keys())
    if taken:
        raise NotAWorkflow(f"{taken[0]} lies beside the workflow's module; in an image that name means something else")
    files[MAIN] = ENTRY.format(module=module_name, function=function_name).encode()
    return write_zipapp(files, manifest)


def _imported(name: str, target: str) -> ModuleType:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise NotAWorkflow(f"{target!r}: there is no module {error.name!r} here ({here}) or installed") from None
        raise NotAWorkflow(f"{target!r}: module {name!r} needs {error.name!r}, which is not installed") from error
    except Exception as error:
        raise NotAWorkflow(
            f"{target!r}: module {name!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    finally:
        sys.path.remove(here)


def _files(module: ModuleType) -> dict[str, bytes]:
    """The module's own file, or all files of its top-level package."""
    top = module.__name__.partition(".")[0]
    package = sys.modules[top]
    if not hasattr(package, "__path__"):
        source = _source(module)
        return {source.name: source.read_bytes()}
    files: dict[str, bytes] = {}
    for root in map(Path, package.__path__):
        for path in root.rglob("*"):
            parts = path.relative_to(root).parts
            hidden = any(part.startswith(".") or part.endswith(_SKIPPED) for part in parts)
            if path.is_file() and not hidden:
                files["/".join((top, *parts))] = path.read_bytes()
    return files


def _source(module: ModuleType) -> Path:
    path = Path(module.__file__ or "")
    if path.suffix != ".py":
        raise NotAWorkflow(f"module {module.__name__!r} is no Python source file ({module.__file__ or 'built in'})")
    return path


def _input_schema(function: Callable[..., Any]) -> dict[str, Any] | None:
    """The JSON Schema of the workflow's input, if its annotation has one."""
    kind = input_type(function)
    if kind is None:
        return None
    if hasattr(kind, "model_json_schema"):
        schema: dict[str, Any] = kind.model_json_schema(by_alias=True)
        return schema
    import msgspec

    return msgspec.json.schema(kind)


def _nearest(name: str, module: ModuleType) -> str:
    marked = [key for key, value in vars(module).items() if getattr(value, MARK, None) is not None]
    close = difflib.get_close_matches(name, marked, 1, 0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; its workflows: {', '.join(sorted(marked))}" if marked else "; nothing in it is marked with @workflow"
