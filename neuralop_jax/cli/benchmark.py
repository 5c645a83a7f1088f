"""`benchmark MODEL`: the speed of a model on this machine, beside its original in PyTorch where that is installed."""

import datetime
import json as json_format
import math
import os
import shlex
import sys
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from neuralop_jax.cli._console import say, show_table
from neuralop_jax.errors import ConfigError


def benchmark(
    model: Positional[Literal["fno"]],
    *,
    peer_python: str = "",
    json: Path | None = None,
    repeats: int = 9,
    cores: int = 0,
    peer_compile: bool = False,
) -> None:
    """Time inference and a training step, side by side with the original implementation.

    Both sides run the same network with the same weights on the same data in float32, on the same cores, in turn; outputs and
    parameter counts are compared first. Printed are medians, with the fastest and the slowest; an inference is the mean of
    eight in a row, a training step of four.

    Args:
        model: The model to time.
        peer_python: The Python of an environment with torch and neuraloperator; this library alone is timed if left out.
        json: File to write the results to.
        repeats: Timed calls, of which the median counts.
        cores: CPU cores to use on both sides; all that are available if 0.
        peer_compile: Run the original through torch.compile.
    """
    if repeats < 1:
        raise ConfigError(f"--repeats must be at least 1, got {repeats}.")
    if json is not None and not json.parent.is_dir():
        raise ConfigError(f"--json {json}: the folder {json.parent} does not exist; create it first.")
    _restrict(cores)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the peer needs memory of the same GPU

    from neuralop_jax.cli import _benchmark_fno
    from neuralop_jax.evaluation import FNOPeer, machine, usable_cores

    here = machine()
    on_gpu = here["platform"] == "gpu"
    if (here["load"] or 0) > here["cores"] / 2:
        say(f"Other programs are running (load {here['load']} on {here['cores']} cores): times and even ratios will be off.")
    cases = (*_benchmark_fno.CASES, *((_benchmark_fno.GPU_CASE,) if on_gpu else ()))
    said = {
        "device": here["device"],
        "machine": here,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "neuralop_jax", *sys.argv[1:]]),
    }
    peer = None
    if peer_python:
        device = "cuda" if on_gpu else "cpu"
        peer = FNOPeer(peer_python, threads=usable_cores(), device=device, compile=peer_compile)
        said["peer_versions"] = peer.versions
    rows = []
    try:
        for case in cases:
            rows.append(_benchmark_fno.measure(case, repeats=repeats, peer=peer) | said)
            say(f"measured {case.name}")
    finally:
        if peer is not None:
            peer.close()
    _show(rows)
    if json is not None:
        json.write_text(json_format.dumps(rows, indent=1) + "\n")
        say(f"Written to {json}.")


def _restrict(cores: int) -> None:
    """Binds this process, and with it the peer's, to the first `cores` of the cores that it may use."""
    if not cores:
        return
    if not hasattr(os, "sched_setaffinity"):
        raise ConfigError("--cores is not supported on this system: it cannot bind a process to cores; leave the option out.")
    available = sorted(os.sched_getaffinity(0))
    if not 1 <= cores <= len(available):
        raise ConfigError(f"--cores must be between 1 and {len(available)}, got {cores}.")
    os.sched_setaffinity(0, available[:cores])


def _show(rows: list[dict[str, Any]]) -> None:
    """Prints the table, the mean ratios, and what the figures must be read with."""
    lines = [
        (
            row["case"],
            what,
            _said(row["ours"], what),
            _said(row["peer"], what),
            f"{row['ratio'][what]:.2f}" if row["ratio"] else "-",
        )
        for row in rows
        for what in ("forward", "step")
    ]
    show_table(("case", "what", ">ours / ms", ">peer / ms", ">peer : ours"), lines)
    first = rows[0]
    if first["ratio"]:
        mean = {what: math.exp(sum(math.log(row["ratio"][what]) for row in rows) / len(rows)) for what in ("forward", "step")}
        worst = max(row["output_difference"] for row in rows)
        say(f"geometric mean: inference {mean['forward']:.2f}x, training step {mean['step']:.2f}x")
        say(f"same parameters; outputs agree to {worst:.1e}")
    here = first["machine"]
    versions = here["versions"] | {f"peer {name}": version for name, version in first.get("peer_versions", {}).items()}
    say(f"{here['processor']}, {here['cores']} cores, {here['device']}, {here['system']}; {first['date']}")
    say(", ".join(f"{name} {version}" for name, version in versions.items()))
    say(f"median of {first['repeats']} calls (fastest - slowest)")


def _said(side: dict[str, Any] | None, what: str) -> str:
    if side is None:
        return "-"
    spread = side[what]
    return f"{side[f'{what}_s'] * 1e3:.1f} ({spread['min'] * 1e3:.1f} - {spread['max'] * 1e3:.1f})"
