"""Runtara: durable workflows in isolated processes.

The map. For product developers: `management` (drive a server), `compiler` (scenario -> image), `sdk` (write a Python
workflow), `cli`. For plugin authors: `spec` (one contract a file), `agents` (write an agent), `testing` (prove a plugin
right). For those who work on the kernel: `kernel` (composition root), `services` (the use cases), `storage`, `extension`,
`protocol`, `model`, `states`, `errors`. Importing this package loads none of them.
"""

from __future__ import annotations

__version__ = "0.1.0"

__all__ = ["__version__"]
