"""From declarations to metadata: what an author writes, what others read, and what is refused."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from runtara_framework.agents import CapabilityContext, agent, capability, permanent, transient
from runtara_framework.agents.connections import ConnectionParameters
from runtara_framework.agents.loading import load_agent
from runtara_framework.agents.metadata import ErrorInfo, FieldInfo
from runtara_framework.errors import DriverBroken

from .sample_agent import AddInput, Shop


class Hidden:
    """No pydantic model."""


def test_capabilities_are_listed_in_the_order_in_which_they_are_written() -> None:
    assert [one.id for one in load_agent(Shop).capabilities] == ["add", "order", "echo", "block", "nothing"]


def test_fields_are_described_under_the_names_of_the_wire() -> None:
    add = load_agent(Shop).info.capability("add")
    assert add is not None
    assert add.inputs == (
        FieldInfo(name="left", type="integer", required=True, description="First number", aliases=("a",)),
        FieldInfo(name="rightSide", type="integer", default=1, description="Second number", aliases=("b",)),
    )
    assert set(add.input_schema["properties"]) == {"left", "rightSide"}
    assert set(add.output_schema["properties"]) == {"total", "ranIn"}
    assert add.description == "Add two numbers."
    assert add.pure and add.idempotent and not add.side_effects


def test_enums_nulls_and_secrets_are_in_the_metadata() -> None:
    order = load_agent(Shop).info.capability("buy")
    assert order is not None
    fields = {one.name: one for one in order.inputs}
    assert fields["speed"].enum == ("slow", "fast") and fields["speed"].type == "string"
    assert fields["note"].nullable and fields["note"].type == "string"
    assert not fields["quantity"].nullable
    assert fields["pin"].secret and not fields["note"].secret
    assert order.errors == (transient("SHOP_BUSY", "Try later"), permanent("SHOP_REFUSED", "It will not sell"))
    assert order.errors[0] == ErrorInfo(code="SHOP_BUSY", category="transient", description="Try later")
    assert order.side_effects and not order.idempotent and not order.pure


def test_connection_types_are_described() -> None:
    info = load_agent(Shop, distribution="shop 1.0").info
    assert info.connection_types == ("shop_key",)
    (kind,) = info.connections
    assert (kind.integration_id, kind.title, kind.description) == ("shop_key", "Shop key", "Access to a shop.")
    assert [(one.name, one.secret, one.required) for one in kind.fields] == [
        ("key", True, True),
        ("region", False, False),
    ]
    assert info.distribution == "shop 1.0"


def test_a_module_and_an_object_can_be_agents_too() -> None:
    @capability(id="one")
    def one() -> int:
        return 1

    module = ModuleType("a_module")
    module.__dict__.update(__agent__=agent(id="in-module"), one=one)
    assert [c.id for c in load_agent(module).capabilities] == ["one"]
    thing = agent(id="in-object")(SimpleNamespace(one=one))
    assert [c.id for c in load_agent(thing).capabilities] == ["one"]


def test_a_subclass_inherits_and_may_replace_capabilities() -> None:
    @agent(id="corner-shop")
    class Corner(Shop):
        @capability(id="nothing", title="Still nothing")
        def nothing(self) -> None:
            """Do nothing at the corner."""

    info = load_agent(Corner).info
    assert len(info.capabilities) == 5
    assert info.capability("nothing").title == "Still nothing"  # type: ignore[union-attr]


def _agent_of(*functions: Any, **declared: Any) -> Any:
    return agent(id="broken", **declared)(SimpleNamespace(**{f"f{i}": f for i, f in enumerate(functions)}))


def test_what_is_missing_or_wrong_is_named_with_its_capability() -> None:
    @capability(id="no-return")
    def no_return(input: AddInput):  # type: ignore[no-untyped-def]
        return 1

    @capability(id="no-model")
    def no_model(input: dict) -> int:  # type: ignore[type-arg]
        return 1

    @capability(id="two-models")
    def two_models(one: AddInput, two: AddInput) -> int:
        return 1

    @capability(id="unresolved")
    def unresolved(input: Nowhere) -> int:  # type: ignore[name-defined]  # noqa: F821
        return 1

    @capability(id="aliased", input_aliases={"x": "nothing"})
    def aliased(input: AddInput) -> int:
        return 1

    @capability(id="harmful", harmless={"mode": ["read"]})
    def harmful(input: AddInput) -> int:
        return 1

    for function, text in [
        (no_return, "broken/no-return: annotate what it returns"),
        (no_model, "broken/no-model: parameter 'input' must be annotated"),
        (two_models, "broken/two-models: parameter 'two' must be annotated"),
        (unresolved, "broken/unresolved: its annotations cannot be resolved: name 'Nowhere'"),
        (aliased, r"broken/aliased: input_aliases points at \['nothing'\]"),
        (harmful, r"broken/harmful: harmless names \['mode'\]"),
    ]:
        with pytest.raises(DriverBroken, match=text):
            load_agent(_agent_of(function))


def test_an_agent_without_capabilities_is_refused() -> None:
    with pytest.raises(DriverBroken, match="'broken' has no capability"):
        load_agent(_agent_of())


def test_one_id_for_two_capabilities_is_refused() -> None:
    @capability(id="one")
    def one() -> int:
        return 1

    @capability(id="two", aliases=["one"])
    def two() -> int:
        return 2

    with pytest.raises(DriverBroken, match="'one' and 'two' are both called 'one'"):
        load_agent(_agent_of(one, two))


def test_an_agent_whose_class_cannot_be_made_is_refused() -> None:
    @agent(id="broken")
    class Broken:
        def __init__(self) -> None:
            raise ValueError("no licence")

    with pytest.raises(DriverBroken, match="no licence"):
        load_agent(Broken)


def test_a_type_without_json_schema_is_reported_when_it_is_described() -> None:
    @capability(id="one")
    def one() -> Hidden:
        return Hidden()

    with pytest.raises(DriverBroken, match="agent 'broken' cannot be described"):
        _ = load_agent(_agent_of(one)).info


@pytest.mark.parametrize("name", ["", "Upper", "a b", "1st", "a--b", "ends-", "über"])
def test_malformed_ids_are_refused_where_they_are_written(name: str) -> None:
    with pytest.raises(ValueError, match="lower-case words"):
        agent(id=name)
    with pytest.raises(ValueError, match="lower-case words"):
        capability(id=name)
    with pytest.raises(TypeError, match="lower-case words"):

        class Kind(ConnectionParameters):
            integration_id: ClassVar[str] = name


def test_a_context_is_passed_whatever_its_parameter_is_called() -> None:
    class Out(BaseModel):
        tenant: str

    @capability(id="who")
    def who(about: CapabilityContext) -> str:
        return about.tenant_id

    (one,) = load_agent(_agent_of(who)).capabilities
    assert (one.context_parameter, one.input_model) == ("about", None)
