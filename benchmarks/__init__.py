"""Measurements, not tests: `make bench` (or `python -m benchmarks`) prints a table of medians.

`server.py` starts the server that is measured; `durable.py` measures it; `engine.py` measures the DSL alone, `transport.py`
the transports alone. `peers/` does the same work on other platforms, where they can be installed
(`python -m benchmarks --peers`).
"""
