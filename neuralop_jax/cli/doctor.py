"""`doctor`: what is installed, what it runs on, and whether it computes."""

import importlib.metadata
import platform
import shutil
import sys
from pathlib import Path
from typing import Literal

from neuralop_jax._version import __version__
from neuralop_jax.cli._console import say, show_table

_PACKAGES = ("jax", "jaxlib", "equinox", "optax", "orbax-checkpoint", "grain", "h5py", "numpy")
_TOLERANCE = 1e-5


def doctor() -> int:
    """Show versions, devices and free disk space, and check a small computation; exit code 0 if all is well."""
    import jax

    missing = []
    rows = [("neuralop_jax", __version__), ("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")]
    for name in _PACKAGES:
        try:
            rows.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            rows.append((name, "missing"))
            missing.append(name)
    devices = jax.devices()
    rows.append(("devices", ", ".join(f"{device.platform}:{device.id} {device.device_kind}" for device in devices)))
    rows.append(("64-bit numbers (jax_enable_x64)", "on" if jax.config.read("jax_enable_x64") else "off"))
    rows.append(("free disk space here", f"{shutil.disk_usage(Path.cwd()).free / 2**30:.1f} GiB"))
    error = spectral_error()
    agree = error < _TOLERANCE
    rows.append(("FFT against matrix DFT", f"largest relative difference {error:.1e}, {'fine' if agree else 'TOO LARGE'}"))
    show_table(("what", "found"), rows)
    if missing:
        say(f"Missing packages: {', '.join(missing)}. Install neuralop_jax again with: {sys.executable} -m pip install .")
    if not agree:
        say(f"The two transforms differ by more than {_TOLERANCE:g}: this installation of jax computes wrongly on this device.")
    return 1 if missing or not agree else 0


def spectral_error() -> float:
    """The largest difference of a random field's low modes by FFT and by matrix products, relative to the largest value."""
    import jax
    import jax.numpy as jnp

    from neuralop_jax.kernels import forward_transform, inverse_transform

    def keep_low_modes(u: jax.Array, transform: Literal["fft", "dft"]) -> jax.Array:
        return inverse_transform(forward_transform(u, (8, 5), transform=transform), u.shape[1:], real=True, transform=transform)

    u = jax.random.normal(jax.random.key(0), (3, 24, 31), jnp.float32)
    by_fft, by_dft = (jax.jit(keep_low_modes, static_argnums=1)(u, name) for name in ("fft", "dft"))
    return float(jnp.abs(by_fft - by_dft).max() / jnp.abs(by_fft).max())
