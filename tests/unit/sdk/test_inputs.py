"""Everything that is wrong with the input of a Python workflow is told at once, whatever its annotation is made of."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Annotated, Any

import msgspec
import pytest
from pydantic import BaseModel, Field

from runtara_framework.sdk.inputs import Unfit, built


class Line(msgspec.Struct):
    sku: str
    quantity: Annotated[int, msgspec.Meta(ge=1)] = 1


class Order(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    order_id: str
    lines: list[Line]
    notes: dict[str, int] = {}
    first: Line | None = None


@dataclasses.dataclass
class Address:
    city: str
    zip_code: str = ""
    tags: set[str] = dataclasses.field(default_factory=set)


@dataclasses.dataclass
class Customer:
    name: str
    address: Address | None
    others: list[Address] = dataclasses.field(default_factory=list)


class Model(BaseModel):
    name: str
    lines: list[int] = Field(default=[])


class Loop(msgspec.Struct):
    inner: Loop | None = None
    n: int = 0


def paths(kind: Any, value: Any) -> list[str]:
    with pytest.raises(Unfit) as caught:
        built(kind, value)
    assert all(one["message"] and "`$" not in one["message"] for one in caught.value.violations)
    return [one["path"] for one in caught.value.violations]


@pytest.mark.parametrize(
    ("kind", "value", "wrong"),
    [
        (Order, {"orderId": 1, "lines": [{"sku": 2}, {"quantity": 0}, 7]},
         ["orderId", "lines[0].sku", "lines[1].quantity", "lines[1].sku", "lines[2]"]),
        (Order, {"lines": {}, "notes": {"a": "x", "b.c": "y", "d": 1}}, ["lines", "notes.a", 'notes["b.c"]', "orderId"]),
        (Order, {"orderId": "a", "lines": [], "first": {"sku": 1, "quantity": "x"}}, ["first.sku", "first.quantity"]),
        (Order, {"orderId": "a", "lines": [], "colour": 1}, [""]),
        (Order, [], [""]),
        (Order, None, [""]),
        (Customer, {"name": 1, "address": {"city": 2, "tags": ["a", 3]}, "others": [{"zip_code": 5}]},
         ["name", "address.city", "address.tags[1]", "others[0].zip_code", "others[0].city"]),
        (Customer, {}, ["name", "address"]),
        (Customer, "Ann", [""]),
        (Model, {"lines": ["x", 1, "y"]}, ["name", "lines[0]", "lines[2]"]),
        (Loop, {"inner": {"inner": {"n": "x"}, "n": "y"}, "n": []}, ["inner.inner.n", "inner.n", "n"]),
    ],
)  # fmt: skip
def test_every_violation_is_told_with_its_path(kind: Any, value: Any, wrong: list[str]) -> None:
    assert paths(kind, value) == wrong


def test_what_fits_is_built() -> None:
    assert built(Order, {"orderId": "a", "lines": [{"sku": "x"}]}) == Order(order_id="a", lines=[Line("x")])
    assert built(Customer, {"name": "A", "address": None}) == Customer("A", None)
    assert built(Model, {"name": "A"}).name == "A"


def test_thousands_of_violations_are_cut_off() -> None:
    assert len(paths(Order, {"orderId": "a", "lines": [1] * 3_000})) == 1_000


def test_no_model_means_no_pydantic() -> None:
    program = (
        "import dataclasses, sys\n"
        "from runtara_framework.sdk.inputs import Unfit, built\n"
        "A = dataclasses.make_dataclass('A', [('x', int)])\n"
        "try: built(A, {})\n"
        "except Unfit as error: print(error, 'pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "x: is required False\n"
