"""`runtara validate | compile | schema | build`: from a document or a function to an image."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtara_framework.cli import output
from runtara_framework.errors import InvalidRequest, ScenarioInvalid

if TYPE_CHECKING:
    from runtara_framework.compiler import CompilationResult
    from runtara_framework.dsl.validation import Finding

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
    """The arguments that name a scenario and its children."""
    parser.add_argument("scenario", metavar="SCENARIO", help="a JSON file, or - for stdin")
    parser.add_argument(
        "--child",
        action="append",
        default=[],
        metavar="ID=FILE",
        help="the scenario that StartScenario steps call ID (repeat for more)",
    )
    parser.add_argument(
        "--stdlib",
        metavar="NAME",
        help="the product's stdlib that it may use (default: RUNTARA_STDLIB_NAME, or none, which is called standard)",
    )


def load_document(name: str) -> tuple[dict[str, Any], str]:
    """The scenario in a file and its text. Raises `InvalidRequest`."""
    text = output.read_file(name, "the scenario")
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InvalidRequest(f"{name} is no JSON: {error}") from None
    except RecursionError:
        raise InvalidRequest(f"{name} is nested too deeply to be a scenario") from None
    if not isinstance(document, dict):
        raise InvalidRequest(f"{name} holds a {type(document).__name__}; a scenario is a JSON object")
    return document, text


def load_children(pairs: list[str]) -> dict[str, dict[str, Any]]:
    """The child scenarios of `--child ID=FILE`. Raises `InvalidRequest`."""
    children = {}
    for pair in pairs:
        child_id, separator, name = pair.partition("=")
        if not (separator and child_id and name):
            raise InvalidRequest(f"--child wants ID=FILE, not {pair!r}")
        children[child_id] = load_document(name)[0]
    return children


def compile_document(
    name: str,
    children: list[str],
    *,
    tenant: str = "default",
    debug: bool = False,
    stdlib: str | None = None,
    target: str = "zipapp",
    warnings: bool = True,
) -> CompilationResult:
    """Compile the scenario in a file. Raises `ScenarioInvalid` after its findings were printed."""
    from runtara_framework.compiler import ChildScenario, CompilationInput, compile_scenario

    document, text = load_document(name)
    judged = _plugin_findings(document)
    _print_findings(judged, text, name)
    if any(_field(finding, "severity") == "error" for finding in judged):
        raise ScenarioInvalid(f"{name}: a plugin's rule refuses it", findings=[f.to_json() for f in judged])
    try:
        result = compile_scenario(
            CompilationInput(
                tenant_id=tenant,
                scenario_id=Path(name).stem if name != "-" else "scenario",
                version=1,
                execution_graph=document,
                debug_mode=debug,
                stdlib=stdlib,
                target=target,
                child_scenarios=[
                    ChildScenario(scenario_id=child_id, execution_graph=graph)
                    for child_id, graph in load_children(children).items()
                ],
            )
        )
    except ScenarioInvalid as error:
        _print_findings(error.details.get("findings", []), text, name)
        raise
    if warnings:
        _print_findings(result.findings, text, name)
    return result


def _validate(args: argparse.Namespace) -> int:
    from runtara_framework.agents.registry import AgentRegistry
    from runtara_framework.dsl.validation import validate
    from runtara_framework.stdlib import choose

    document, text = load_document(args.scenario)
    stdlib, registry = choose(args.stdlib), AgentRegistry()
    report = validate(
        document,
        agents=registry if stdlib is None else stdlib.extend(registry),
        children=load_children(args.child),
        functions=None if stdlib is None else stdlib.functions,
    )
    findings = [*report.findings, *_plugin_findings(document)]
    errors = [finding for finding in findings if finding.severity == "error"]
    if args.json:
        output.result([finding.to_json() for finding in findings])
    else:
        _print_findings(findings, text, args.scenario)
        warnings = len(findings) - len(errors)
        output.say(f"{args.scenario}: {_count(len(errors), 'error')}, {_count(warnings, 'warning')}")
    return output.EXIT_FAILED if errors else 0


def _compile(args: argparse.Namespace) -> int:
    from runtara_framework.compiler.targets import load_target

    suffix = load_target(args.target).suffix  # refused even where only the plan is wanted
    showing = args.emit_plan or args.emit_source
    target = "zipapp" if showing else args.target
    result = compile_document(args.scenario, args.child, debug=args.debug, stdlib=args.stdlib, target=target)
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


def _plugin_findings(document: dict[str, Any]) -> list[Finding]:
    """What the rules of hook plugins say (`runtara_validate_scenario`)."""
    from importlib.metadata import entry_points

    if not entry_points(group="runtara.plugins"):
        return []
    from runtara_framework.extension.hooks import Hooks

    hooks = Hooks()
    hooks.load_installed()
    answers = hooks.collect_now("runtara_validate_scenario", document=document)
    return [finding for answer in answers for finding in answer]


# -- findings ---------------------------------------------------------------------------------------------


def _field(finding: Finding | dict[str, Any], name: str) -> Any:
    return finding.get(name) if isinstance(finding, dict) else getattr(finding, name)


def _print_findings(findings: Any, text: str, name: str) -> None:
    """Each finding with the line of the document that it is about."""
    if not findings:
        return
    from runtara_framework.cli.locate import line_of

    for finding in findings:
        data = finding if isinstance(finding, dict) else finding.to_json()
        line = line_of(text, data.get("pointer") or "")
        output.say(f"{name}:{line}: {data['severity']} {data['code']}: {data['message']}")
        source = text.splitlines()[line - 1].strip() if text else ""
        if source:
            output.say(f"    {source[:160]}")
        if data.get("suggestion"):
            output.say(f"    -> {data['suggestion']}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
