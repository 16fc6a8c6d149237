"""Makes one static executable of a tree: compressed, and linked with the launcher by this machine's C compiler."""

from __future__ import annotations

import os
import platform
import re
import shutil
import ssl
import subprocess
import sys
import zlib
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from runtara_framework.errors import CompilationFailed, DriverUnavailable
from runtara_target_native.tree import LIBRARIES, LOADER, MODULES, PYTHON, Tree

LAUNCHER = Path(__file__).with_name("launcher.c")
OLDEST_GLIBC = (2, 34)
"""From here on, the C library looks up host names without a library of its own, and its loader knows `--argv0`."""
PACKAGES = "on Debian: apt-get install gcc libc6-dev zlib1g-dev"
_NEEDED = re.compile(r"^\t(\S+) => (/\S+) \(0x", re.MULTILINE)
_LOADER = re.compile(r"^\t(/\S+) \(0x", re.MULTILINE)


@dataclass(frozen=True)
class Tools:
    """The C compiler, and what comes with it and with the C library."""

    cc: str
    strip: str
    ldd: str
    glibc: str

    @classmethod
    def find(cls) -> Tools:
        """Those of this machine. Raises `DriverUnavailable` if it cannot make native executables."""
        if sys.platform != "linux":
            raise DriverUnavailable(f"target native makes executables for Linux, on Linux; this is {sys.platform}")
        try:
            glibc = os.confstr("CS_GNU_LIBC_VERSION") or ""
        except (ValueError, OSError):
            glibc = ""
        found = re.fullmatch(r"glibc (\d+)\.(\d+).*", glibc)
        if found is None or tuple(map(int, found.groups())) < OLDEST_GLIBC:
            wanted = ".".join(map(str, OLDEST_GLIBC))
            raise DriverUnavailable(
                f"target native needs the GNU C library {wanted} or later, not {glibc or 'another one'}"
            )
        tools = {}
        for name, command in (("cc", os.environ.get("CC", "cc")), ("strip", "strip"), ("ldd", "ldd")):
            path = shutil.which(command)
            if path is None:
                raise DriverUnavailable(f"target native needs {command!r}, which is not on PATH; {PACKAGES}")
            tools[name] = path
        return cls(glibc=glibc, **tools)

    @cached_property
    def identity(self) -> list[str]:
        """What an executable depends on beside its tree: these tools, this Python, PyInstaller and this package."""
        own = sha256(b"\0".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.[pcs]*"))))
        python = Path(os.path.realpath(sys.executable))
        stat = python.stat()
        return [
            own.hexdigest(),
            f"{python} {stat.st_size} {stat.st_mtime_ns} {sys.version} {platform.machine()}",
            f"{self.cc} {self.glibc}",
            *(f"{name} {version(name)}" for name in ("pyinstaller", "pyinstaller-hooks-contrib")),
        ]

    def needed(self, elf: Path) -> dict[str, Path]:
        """The libraries that an executable or a library needs, and those need, by name."""
        return {name: Path(path) for name, path in _NEEDED.findall(self._run(self.ldd, str(elf)))}

    def loader(self, elf: Path) -> Path:
        """The dynamic loader of an executable."""
        found = _LOADER.search(self._run(self.ldd, str(elf)))
        if found is None:
            raise CompilationFailed(f"{elf} has no dynamic loader: a Python that is linked statically cannot be packed")
        return Path(found[1])

    def compilers_library(self, name: str) -> Path:
        """A library that comes with the compiler."""
        path = Path(self._run(self.cc, f"-print-file-name={name}").strip())
        if not path.is_absolute():  # the compiler gives back a name that it does not know
            raise DriverUnavailable(f"target native needs {name}, which {self.cc} does not find; {PACKAGES}")
        return path

    def stripped(self, elf: Path) -> bytes:
        """The file without what only a debugger reads."""
        with TemporaryDirectory(prefix="runtara-") as folder:
            target = Path(folder, "stripped")
            self._run(self.strip, "--strip-unneeded", "-o", str(target), str(elf))
            return target.read_bytes()

    def link(self, tree: Tree) -> bytes:
        """The executable: the launcher with the tree inside."""
        paths = sorted(tree)
        index = "".join(f"{_mode(path):o} {len(tree[path])} {path}\n" for path in paths).encode()
        content = b"".join(tree[path] for path in paths)
        verify = ssl.get_default_verify_paths()
        defines = {
            "TREE": sha256(index + content).hexdigest()[:32],
            "LOADER": LOADER,
            "PYTHON": PYTHON,
            "LIBRARIES": LIBRARIES,
            "CERTIFICATES": f"{MODULES}/certifi/cacert.pem",
            "SYSTEM_CERTIFICATES_FILE": verify.openssl_cafile,
            "SYSTEM_CERTIFICATES_FOLDER": verify.openssl_capath,
        }
        with TemporaryDirectory(prefix="runtara-") as name:
            folder = Path(name)
            (folder / "index").write_bytes(index)
            (folder / "content").write_bytes(zlib.compress(content))
            flags = ["-std=gnu11", "-Wall", "-Wextra", "-Os", "-static", "-s"]
            defined = [f'-D{key}="{value}"' for key, value in defines.items()]
            self._run(self.cc, *flags, *defined, "-o", "base", str(LAUNCHER), "-lz", cwd=folder)
            return (folder / "base").read_bytes()

    def _run(self, *command: str, cwd: Path | None = None) -> str:
        environ = {**os.environ, "LC_ALL": "C"}
        run = subprocess.run(command, env=environ, cwd=cwd, capture_output=True, text=True, check=False)
        if run.returncode:
            said = (run.stderr or run.stdout).strip()[-2000:]
            raise CompilationFailed(f"{Path(command[0]).name} failed: {said} ({PACKAGES})")
        return run.stdout


def _mode(path: str) -> int:
    return 0o755 if path.startswith("bin/") else 0o644
