"""Rules about StartScenario steps: versions, supply, the child's inputs. Circles are found by `validate` itself."""

from __future__ import annotations

from runtara_framework.dsl.documents import escape
from runtara_framework.dsl.models import ExecutionGraph, StartScenarioStep
from runtara_framework.dsl.validation.context import Context
from runtara_framework.dsl.validation.findings import did_you_mean, listed


def calls(context: Context) -> None:
    """E050, E054, E055, E124."""
    for graph in context.graphs:
        for key, step in graph.steps.items():
            if not isinstance(step, StartScenarioStep):
                continue
            pointer = graph.step_pointer(key)
            if version(step) is None:
                wanted = str(step.child_version)
                number = wanted.lstrip("0") if wanted.isascii() and wanted.isdecimal() else ""
                hint = f"write {number} as a number" if number else None
                message = f'childVersion is a number of at least 1, or "latest", not {step.child_version!r}'
                context.say("E050", f"{pointer}/childVersion", message, hint, step=key)
                continue
            found = context.child_of(step)
            if found is None:
                message = (
                    f"the child scenario {step.child_scenario_id!r} (version {step.child_version}) was not supplied"
                )
                context.say("E124", f"{pointer}/childScenarioId", message, "supply it (--child ID=FILE)", step=key)
            else:
                _inputs(context, pointer, key, step, found[1])


def version(step: StartScenarioStep) -> int | str | None:
    """The version that is asked for: a number, or "latest"; None if it is neither."""
    wanted = step.child_version
    if isinstance(wanted, int):
        return wanted if wanted >= 1 else None
    return "latest" if wanted.lower() in ("latest", "current") else None


def _inputs(context: Context, pointer: str, key: str, step: StartScenarioStep, child: ExecutionGraph) -> None:
    given = {name.split(".")[0]: name for name in step.input_mapping or {}}
    schema = child.input_schema
    if given and not schema:
        message = f"{step.child_scenario_id!r} gets inputs, but declares none in an inputSchema"
        context.say("E054", f"{pointer}/inputMapping", message, "declare them in the child's inputSchema", step=key)
        return
    for name, field in schema.items():
        if context.is_opaque(f"{pointer}/inputMapping/{escape(name)}"):
            continue  # it is given, and what is wrong with it was said
        if field.required and field.default is None and name not in given:
            message = f"{step.child_scenario_id!r} needs the input {name!r}"
            context.say("E055", f"{pointer}/inputMapping" if given else pointer, message, f"map {name!r}", step=key)
    for name, destination in given.items():
        if name not in schema:
            message = f"{step.child_scenario_id!r} declares no input {name!r}; it has {listed(list(schema))}"
            context.say("W020", f"{pointer}/inputMapping/{escape(destination)}", message,
                        did_you_mean(name, schema), step=key)  # fmt: skip
