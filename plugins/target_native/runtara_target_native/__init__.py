"""Compile target `native`: a scenario as one executable that runs in an empty root filesystem.

The executable is three things in a row, in one file:

    launcher.c, linked statically | a small Python installation, compressed | the zipapp of the program

The first two are the base. It depends on the agents and not on the scenario, so it is made once and kept (`cache.py`):
`needs.py` says what must be inside, `analysis.py` lets PyInstaller find what that imports, `tree.py` lays it out as an
installation, `executable.py` compresses it and links it with the launcher. `target.py` appends the zipapp, which makes the
whole file a zip archive, too: the server reads the manifest in it, and Python runs the program in it.
"""

from __future__ import annotations

from runtara_target_native.target import NativeTarget

__all__ = ["NativeTarget"]
