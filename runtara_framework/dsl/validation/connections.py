"""Rules about Connection steps: known integrations, and where their secrets may go."""

from __future__ import annotations

from runtara_framework.dsl.models import AgentStep, ConnectionStep, FinishStep, LogStep
from runtara_framework.dsl.validation.context import Context
from runtara_framework.dsl.validation.findings import did_you_mean, listed


def integrations(context: Context) -> None:
    """E030."""
    steps = [
        (graph.step_pointer(key), key, step)
        for graph in context.graphs
        for key, step in graph.steps.items()
        if isinstance(step, ConnectionStep)
    ]
    if not steps:
        return
    infos = [context.agent(agent_id).info for agent_id in context.agents.ids()]
    known = sorted({name for info in infos if info for name in info.connection_types})
    for pointer, key, step in steps:
        if step.integration_id not in known:
            message = f"no agent knows the integration {step.integration_id!r}; known: {listed(known, 20)}"
            hint = did_you_mean(step.integration_id, known)
            context.say("E030", f"{pointer}/integrationId", message, hint, step=key)


def leaks(context: Context) -> None:
    """E040 to E043, W040."""
    for graph in context.graphs:
        secrets = {key for key, step in graph.steps.items() if isinstance(step, ConnectionStep)}
        if not secrets:
            continue
        used: set[str] = set()
        for reader, use, placed in graph.uses:
            if use.path is None or use.path.root != "steps":
                continue
            segments = use.path.segments
            read = {str(segments[1])} & secrets if len(segments) > 1 else secrets
            if not read or reader in read:
                continue
            used |= read
            step = graph.steps[reader]
            name = sorted(read)[0]
            message = f"the connection of {name!r} holds secrets"
            if placed is None and isinstance(step, AgentStep):
                info = context.agent(step.agent_id).info
                root = (use.destination or "").split(".")[0]
                if info is not None and not (info.secure and root == "_connection" and "/inputMapping/" in use.pointer):
                    message += f", and the agent {info.id!r} " + (
                        "may have them only as its input '_connection'" if info.secure else "is not a secure agent"
                    )
                    context.say("E040", use.pointer, message, step=reader)
            elif placed is None and isinstance(step, FinishStep):
                context.say("E041", use.pointer, f"{message}, which would become a result", step=reader)
            elif placed is None and isinstance(step, LogStep):
                context.say("E042", use.pointer, f"{message}, which would be logged", step=reader)
            else:
                context.say("E043", use.pointer, f"{message}; only secure agents may have them", step=reader)
        for key in sorted(secrets - used):
            context.say("W040", graph.step_pointer(key), f"nothing uses the connection of {key!r}",
                        "remove the step, or give it to an agent as '_connection'", step=key)  # fmt: skip
