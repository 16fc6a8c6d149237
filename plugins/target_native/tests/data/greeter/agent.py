"""An agent that reads a data file of its package and leaves a trace of every call."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, Field

from runtara_framework.agents import agent, capability


class Name(BaseModel):
    name: str = Field(description="Whom to greet")


class Greeting(BaseModel):
    text: str = Field(description="The greeting")


@agent(id="greeter", title="Greeter", description="Greets")
class Greeter:
    @capability(id="greet", title="Greet", side_effects=True)
    def greet(self, input: Name) -> Greeting:
        """Greet somebody."""
        with Path("calls").open("a") as calls:
            calls.write("greet\n")
        words = files("greeter").joinpath("words.txt").read_text(encoding="utf-8").strip()
        return Greeting(text=f"{words}, {input.name}")
