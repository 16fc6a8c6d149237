"""The scenario DSL: what a scenario may say, and the one implementation of each of its meanings.

For programs that run: `paths` (tokenizer and resolver), `conditions`, `mapping`, `templates`, `schemas`; they
import neither pydantic nor anything else that is heavy. For tools: `models` (pydantic), `flow` (order, branches
and merges of a graph), `validation` (every finding in one pass), `json_schema`. This package imports none of
them: take what you need.
"""
