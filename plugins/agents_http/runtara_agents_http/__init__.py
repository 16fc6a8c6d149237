"""Agent `http`: call any HTTP service from a workflow.

`agent` declares the capability, `models` its input and output, `connections` the ways to sign in. What a request needs is
in `request` (the whole exchange), `urls` (where it may go), `bodies` (bytes out and in), `failures` (what went wrong);
these import httpx, and are imported by the first call.
"""

from __future__ import annotations

from runtara_agents_http.agent import Http

__all__ = ["Http"]
