"""`runtara validate | compile | schema | build`: from a document or a function to an image."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtara_framework.cli import output
from runtara_framework.errors import InvalidRequest, ScenarioInvalid

if TYPE_CHECKING:
    from runtara_framework.compiler import ChildScenario, CompilationInput, CompilationResult
    from runtara_framework.dsl.documents import Document

Commands = Any  # argparse's subparsers action, which has no public type


def add_commands(commands: Commands) -> None:
    """Add this module's commands."""
    validate = commands.add_parser(
        "validate",
        help="say everything that is wrong with a scenario",
        description="Check a scenario and print every finding, with the place and a suggestion. Exit code 0: no errors.",
    )
    add_scenario_arguments(validate)
    validate.add_argument("--json", action="store_true", help="print the findings as JSON, for tools")
    validate.set_defaults(run=_validate)

    compile_ = commands.add_parser(
        "compile",
        help="turn a scenario into an image",
        description="Compile a scenario into an executable image, or show what it is compiled to.",
    )
    add_scenario_arguments(compile_)
    compile_.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="where to write it (default: SCENARIO and the target's suffix)",
    )
    compile_.add_argument("--target", default="zipapp", metavar="NAME", help="what to pack it into (default: zipapp)")
    compile_.add_argument(
        "--scenario-id", metavar="ID", help="what the scenario is called (default: the name of the file)"
    )
    compile_.add_argument("--scenario-version", type=int, default=1, metavar="N", help="its version (default: 1)")
    compile_.add_argument(
        "--connection-service-url",
        metavar="URL",
        help="where its instances ask for connections (default: their server)",
    )
    compile_.add_argument("--debug", action="store_true", help="emit an event before and after each step")
    compile_.add_argument("--emit-source", action="store_true", help="print the generated program instead")
    compile_.add_argument("--emit-plan", action="store_true", help="print the plan instead")
    compile_.set_defaults(run=_compile)

    schema = commands.add_parser("schema", help="print the JSON Schema of scenarios")
    schema.set_defaults(run=_schema)

    build = commands.add_parser(
        "build",
        help="package a Python workflow into an image",
        description="Package a function marked @workflow into an executable image (a .pyz).",
    )
    build.add_argument("target", metavar="MODULE:FUNCTION", help="for example orders.flow:process")
    build.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to write it (default: FUNCTION.pyz)")
    build.set_defaults(run=_build)


def add_scenario_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that name a scenario and what it is compiled with."""
    parser.add_argument("scenario", metavar="SCENARIO", help="a JSON file, or - for stdin")
    parser.add_argument(
        "--child",
        action="append",
        default=[],
        metavar="ID=FILE",
        help="the scenario that StartScenario steps call ID (ID@VERSION=FILE: that version of it; repeat for more)",
    )
    parser.add_argument(
        "--default-variables",
        metavar="JSON|@FILE",
        help="an object: values for variables of the scenario, instead of those that it declares and beside them",
    )
    parser.add_argument(
        "--stdlib",
        metavar="NAME",
        help="the product's stdlib that it may use (default: RUNTARA_STDLIB_NAME, or none, which is called standard)",
    )


def load_document(name: str) -> tuple[Document, str]:
    """The scenario in a file, and its text. Raises `InvalidRequest`."""
    from runtara_framework.dsl import documents

    text = output.read_file(name, "the scenario")
    try:
        return documents.read(text), text
    except ValueError as error:
        raise InvalidRequest(f"{name} {error}") from None


_VERSIONED = re.compile(r"(?P<id>.+)@(?P<version>[1-9][0-9]{0,17})")


def load_children(pairs: list[str]) -> list[ChildScenario]:
    """The child scenarios of `--child ID=FILE` and `--child ID@VERSION=FILE`. Raises `InvalidRequest`."""
    from runtara_framework.compiler import ChildScenario

    children: dict[str, ChildScenario] = {}
    for pair in pairs:
        key, separator, name = pair.partition("=")
        if not (separator and key and name):
            raise InvalidRequest(f"--child wants ID=FILE or ID@VERSION=FILE, not {pair!r}")
        if key in children:
            raise InvalidRequest(f"--child gives {key!r} twice")
        versioned = _VERSIONED.fullmatch(key)
        version = int(versioned["version"]) if versioned else None
        children[key] = ChildScenario(
            scenario_id=versioned["id"] if versioned else key,
            execution_graph=load_document(name)[0],
            version_resolved=version or 1,
            version_requested=version,
        )
    return list(children.values())


def read_compilation(args: argparse.Namespace, **more: Any) -> tuple[CompilationInput, str]:
    """What the arguments of `add_scenario_arguments` say shall be compiled, and the text of the scenario. Raises
    `InvalidRequest`."""
    from runtara_framework.compiler import CompilationInput

    document, text = load_document(args.scenario)
    variables = output.read_json(args.default_variables, "--default-variables")
    if not isinstance(variables, dict | None):
        raise InvalidRequest("--default-variables wants an object: names, and the value of each")
    name = Path(args.scenario).stem if args.scenario != "-" else "scenario"
    given = {"scenario_id": name, "stdlib": args.stdlib, "default_variables": variables or {}, **more}
    return CompilationInput(execution_graph=document, child_scenarios=load_children(args.child), **given), text


def compile_given(given: CompilationInput, name: str, text: str, *, warnings: bool = True) -> CompilationResult:
    """Compile the scenario `name` with this text. Raises `ScenarioInvalid` after its findings were printed."""
    from runtara_framework.compiler import compile_scenario

    try:
        result = compile_scenario(given)
    except ScenarioInvalid as error:
        _print_findings(error.details.get("findings", []), text, name)
        raise
    if warnings:
        _print_findings([finding.to_json() for finding in result.findings], text, name)
    return result


def _validate(args: argparse.Namespace) -> int:
    from runtara_framework.compiler import check_scenario

    given, text = read_compilation(args)
    report = check_scenario(given)
    errors = len(report.errors)
    found = [finding.to_json() for finding in report.findings]
    if args.json:
        output.result(found)
    else:
        _print_findings(found, text, args.scenario)
        output.say(f"{args.scenario}: {_count(errors, 'error')}, {_count(len(found) - errors, 'warning')}")
    return output.EXIT_FAILED if errors else 0


def _compile(args: argparse.Namespace) -> int:
    from runtara_framework.compiler.targets import load_target

    suffix = load_target(args.target).suffix  # refused even where only the plan is wanted
    showing = args.emit_plan or args.emit_source
    wanted = {"scenario_id": args.scenario_id} if args.scenario_id is not None else {}
    given, text = read_compilation(
        args,
        debug_mode=args.debug,
        target="zipapp" if showing else args.target,
        version=args.scenario_version,
        connection_service_url=args.connection_service_url,
        **wanted,
    )
    result = compile_given(given, args.scenario, text)
    if args.emit_plan:
        print(result.plan)
    if args.emit_source:
        print(result.source)
    if not showing:
        stem = Path(args.scenario).stem if args.scenario != "-" else "scenario"
        _write_image(args.output or Path(f"{stem}{suffix}"), result.binary, result.binary_checksum)
    return 0


def _schema(args: argparse.Namespace) -> int:
    from runtara_framework.dsl.json_schema import scenario_schema

    output.result(scenario_schema())
    return 0


def _build(args: argparse.Namespace) -> int:
    import hashlib

    from runtara_framework.sdk.package import build

    binary = build(args.target)
    path = args.output or Path(f"{args.target.rpartition(':')[2]}.pyz")
    _write_image(path, binary, hashlib.sha256(binary).hexdigest())
    return 0


def _write_image(path: Path, binary: bytes, checksum: str) -> None:
    try:
        path.write_bytes(binary)
        path.chmod(0o755)
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be written: {error.strerror}") from None
    output.say(f"{path}: {len(binary)} bytes")
    output.result({"path": str(path), "sha256": checksum, "size_bytes": len(binary)})


def _print_findings(findings: list[dict[str, Any]], text: str, name: str) -> None:
    """Each finding with the line of the document that it is about."""
    if not findings:
        return
    from runtara_framework.cli.locate import locate
    from runtara_framework.dsl.documents import MARK

    places = locate(text.removeprefix(MARK), {finding["pointer"] for finding in findings})
    for finding in findings:
        line, source = places[finding["pointer"]]
        output.say(f"{name}:{line}: {finding['severity']} {finding['code']}: {finding['message']}")
        if source:
            output.say(f"    {source}")
        if finding["suggestion"]:
            output.say(f"    -> {finding['suggestion']}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
