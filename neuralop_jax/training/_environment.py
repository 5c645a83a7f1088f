"""What a result must be read with: versions, device, revision."""

import importlib.metadata
import platform
import shlex
import subprocess
import sys
import time
from typing import Any

import jax

from neuralop_jax.evaluation import machine

_PACKAGES = ("neuralop_jax", "jax", "jaxlib", "equinox", "optax", "orbax-checkpoint", "grain", "h5py", "numpy")


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that numbers depend on."""
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in _PACKAGES}}


def environment() -> dict[str, Any]:
    """Versions, device, number types and the git revision of the working directory (`None` outside a repository): JSON types."""
    device, here = jax.devices()[0], machine()
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": versions(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": {"platform": device.platform, "kind": device.device_kind, "count": jax.device_count()},
        "processor": here["processor"],
        "cores": here["cores"],
        "x64": bool(jax.config.read("jax_enable_x64")),
        "git": _git("rev-parse", "HEAD"),
        "git_changes": bool(_git("status", "--porcelain")),
        "command": shlex.join(sys.orig_argv),
    }


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
