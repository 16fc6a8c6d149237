"""The contracts, one file per kind: what a driver must do, who calls it, and what it may raise.

`driver.py` is the base of all drivers; `persistence.py`, `runner.py`, `transport.py`, `scheduler.py` and `agent.py` are
the kinds; `lifecycle.py` holds the hook specs. Write a plugin against these files and prove it with the suite of the same
name in `runtara_framework.testing`.
"""
