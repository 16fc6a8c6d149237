"""Make every folder of plugins/ a tox environment of the same name, so that adding a plugin is adding a folder.

`tox -e runner_mock` proves one plugin alone against the kernel, `tox -m isolation` the kernel and each of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tox.config.loader.memory import MemoryLoader
from tox.config.sets import ConfigSet
from tox.plugin import impl
from tox.session.state import State

PLUGINS = {path.parent.name: path.parent for path in sorted(Path(__file__).parent.glob("plugins/*/pyproject.toml"))}


@impl
def tox_extend_envs() -> Iterable[str]:
    """The environments beside those of tox.ini."""
    return tuple(PLUGINS)


@impl
def tox_add_core_config(core_conf: ConfigSet, state: State) -> None:
    """Say where the wheel of each comes from: `package_root` is read in the packaging environment only (tox #3245)."""
    for name, folder in PLUGINS.items():
        state.conf.memory_seed_loaders[name].append(MemoryLoader(labels={"isolation"}))
        state.conf.memory_seed_loaders[f".pkg-{name}"].append(MemoryLoader(package_root=folder))
