"""`benchmark WHAT`: speed on this machine, from kernels to whole trainings, beside the originals where they are installed."""

import contextlib
import datetime
import math
import os
import shlex
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import Positional

from neuralop_jax.cli._console import say, show_table
from neuralop_jax.cli._json_file import json_file
from neuralop_jax.cli._run import write_json
from neuralop_jax.errors import ConfigError

if TYPE_CHECKING:
    from neuralop_jax.evaluation import PeerProcess

_PARTS = ("kernels", "fno", "models", "data", "training")


def benchmark(
    what: Positional[Literal["all", "kernels", "fno", "models", "data", "training"]],
    *,
    peer_python: str = "",
    json: Path | None = None,
    repeats: int = 9,
    cores: int = 0,
    peer_compile: bool = False,
    originals: str = "",
    case: str = "",
    gigabytes: float = 0.0,
) -> None:
    """Time kernels, models, the solvers and generators of data, and a training, side by side with the original implementations.

    kernels: transforms, convolutions, multigrid cycles and low-rank products, each beside the other way to compute it.
    fno, models (all others): inference and a training step, the same network with the same weights on the same data in float32 on
    both sides; an inference is the mean of eight in a row, a training step of four. data: elliptic solves beside SciPy and pyamg,
    time steps beside exponax and the published loop, generation, streaming. training: seconds until an FNO has a relative L2
    error of 0.1 on test_16 of darcy_small, once, in a clone of the repository. all: one after the other; peers that are not there
    are left out. Both sides use the same cores, in turn; results are compared first. Printed are medians, with their spread.

    Args:
        what: What to time.
        peer_python: The Python of an environment with torch and neuraloperator (fno, training), also deepxde and einops (models),
            or with pyamg and exponax (data).
        json: File to write the results to.
        repeats: Timed calls, of which the median counts.
        cores: CPU cores to use on both sides; all that are available if 0.
        peer_compile: Run the original through torch.compile.
        originals: A folder with clones of xlliu2017/MgNO, thuml/Latent-Spectral-Models, BaratiLab/FactFormer and yaohua32/DGenNO,
            for those models that are in no package index.
        case: Time only what has this in its name: of models such as lsm or 64x64; of data darcy, scaling, gradient, steps,
            trajectory, burgers, streaming or large_file; of kernels transform, convolution, cycle or low_rank.
        gigabytes: Size of the file of the case large_file, which is left out if 0. It is made in the folder for temporary files
            (TMPDIR) and deleted afterwards; the system forgets it before each measurement, so that the disk is read.
    """
    if repeats < 1:
        raise ConfigError(f"--repeats must be at least 1, got {repeats}.")
    file = json_file(json)
    if not 0 <= gigabytes < math.inf:
        raise ConfigError(f"--gigabytes must be at least 0, got {gigabytes:g}.")
    _restrict(cores)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the peer needs memory of the same GPU

    from neuralop_jax.evaluation import machine

    here = machine()
    on_gpu = here["platform"] == "gpu"
    if (here["load"] or 0) > here["cores"] / 2:
        say(f"Other programs are running (load {here['load']} on {here['cores']} cores): times and even ratios will be off.")
    said = {
        "device": here["device"],
        "machine": here,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "neuralop_jax", *sys.argv[1:]]),
    }
    options = {"compile": peer_compile, "originals": originals}
    rows: list[dict[str, Any]] = []
    for part in _PARTS if what == "all" else (what,):
        with contextlib.ExitStack() as stack:
            peer = _peer(stack, part, peer_python, "cuda" if on_gpu else "cpu", options, needed=what != "all")
            more = {**said, "part": part, **({} if peer is None else {"peer_versions": peer.versions})}
            try:
                if part in ("fno", "models"):
                    rows += _models(part, peer, repeats, on_gpu, case, more)
                else:
                    rows += _timed(part, peer, repeats, case, gigabytes, more)
            except ConfigError as error:
                if what != "all":
                    raise
                say(f"{part} is left out: {error}")
        if file is not None and rows:
            write_json(file, rows, indent=1)  # what is measured outlives the end of a later part
    if not rows:
        raise ConfigError(f"benchmark all measured nothing for --case {case!r}. Give another one, or leave it out.")
    here, peers = rows[0]["machine"], [row.get("peer_versions", {}) for row in rows]
    versions = here["versions"] | {f"peer {name}": version for found in peers for name, version in found.items()}
    say(f"{here['processor']}, {here['cores']} cores, {here['device']}, {here['system']}; {rows[0]['date']}")
    say(", ".join(f"{name} {version}" for name, version in versions.items()))
    say(f"median of {repeats} calls (fastest - slowest)")
    if json is not None:
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


def _peer(
    stack: contextlib.ExitStack, part: str, python: str, device: str, options: dict[str, Any], *, needed: bool
) -> "PeerProcess | None":
    """The process beside which a part is timed, until the end of the stack; none if it is not asked for, or not to be had."""
    from neuralop_jax.evaluation import ModelPeer, SolverPeer, usable_cores

    if not python or part == "kernels":
        return None
    try:
        if part == "data":
            return stack.enter_context(SolverPeer(python))
        return stack.enter_context(ModelPeer(python, threads=usable_cores(), device=device, **options))
    except ConfigError as error:
        if needed:
            raise
        say(f"{part} alone: {error}")
        return None


def _models(
    what: str, peer: "PeerProcess | None", repeats: int, on_gpu: bool, wanted: str, said: dict[str, Any]
) -> list[dict[str, Any]]:
    """Times every case of the FNO, or of the other models, and prints the table."""
    from neuralop_jax.cli import _benchmark_cases, _benchmark_models
    from neuralop_jax.evaluation import ModelPeer

    assert peer is None or isinstance(peer, ModelPeer)
    cases = _benchmark_cases.FNO_CASES if what == "fno" else _benchmark_cases.MODEL_CASES
    cases = (*cases, *((_benchmark_cases.GPU_CASE,) if on_gpu and what == "fno" else ()))
    chosen = _chosen([case.name for case in cases], wanted)
    rows = []
    for case in (case for case in cases if case.name in chosen):
        rows.append(_benchmark_models.measure(case, repeats=repeats, peer=peer) | said)
        say(f"measured {case.name}")
        if rows[-1]["missing"]:
            say(f"Not beside the original: {rows[-1]['missing']}.")
    _show_models(rows)
    return rows


def _chosen(names: Iterable[str], wanted: str) -> list[str]:
    """The names that hold what is wanted; `ConfigError` if none does."""
    found = [name for name in names if wanted.lower() in name.lower()]
    if not found:
        raise ConfigError(f"--case {wanted!r} is in no name. Give a part of one of: {'; '.join(names)}.")
    return found


def _timed(
    part: str, peer: "PeerProcess | None", repeats: int, wanted: str, gigabytes: float, said: dict[str, Any]
) -> list[dict[str, Any]]:
    """Times kernels, a training, or solvers and generators (in double precision where the case says nothing else): a table."""
    import jax

    rows = []
    with jax.enable_x64(True) if part == "data" else contextlib.nullcontext():
        cases = _cases(part, peer, repeats, gigabytes)
        for name in _chosen(cases, wanted):
            for row in cases[name]():
                rows.append(row | said)
                say(f"measured {row['case']}")
                if row.get("missing"):
                    say(f"Not beside the original: {row['missing']}.")
                if "memory_mb" in row:
                    say(f"{100 / row['ratio']['h5py']:.0f} % of the rate of h5py")
                    say(f"memory of this process {row['memory_mb']:.0f} MB, grown by {row['memory_growth_mb']:.0f} MB")
    lines = [
        (row["case"], side, f"{taken['median']:.3g} ({taken['min']:.3g} - {taken['max']:.3g}) {row['unit']}", _ratio(row, side))
        for row in rows
        for side, taken in row["sides"].items()
    ]
    show_table(("case", "side", ">taken", ">side : ours"), lines)
    return rows


def _cases(
    part: str, peer: "PeerProcess | None", repeats: int, gigabytes: float
) -> dict[str, Callable[[], Iterable[dict[str, Any]]]]:
    """What there is to time of a part, by name."""
    from neuralop_jax.cli import _benchmark_kernels, _benchmark_solvers, _benchmark_training
    from neuralop_jax.evaluation import ModelPeer, SolverPeer

    if part == "kernels":
        return _benchmark_kernels.cases(repeats)
    if part == "data":
        assert peer is None or isinstance(peer, SolverPeer)
        return _benchmark_solvers.cases(peer, repeats, gigabytes)
    assert peer is None or isinstance(peer, ModelPeer)
    return {"darcy_small": lambda: [_benchmark_training.training_row(peer)]}


def _ratio(row: dict[str, Any], side: str) -> str:
    return f"{row['ratio'][side]:.2f}" if side in row["ratio"] else "-"


def _show_models(rows: list[dict[str, Any]]) -> None:
    """Prints the table of networks and the mean ratios."""
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
    compared = [row for row in rows if row["ratio"]]
    if compared:
        logarithms = {what: [math.log(row["ratio"][what]) for row in compared] for what in ("forward", "step")}
        mean = {what: math.exp(sum(values) / len(values)) for what, values in logarithms.items()}
        worst = max(row["output_difference"] for row in compared)
        say(f"geometric mean: inference {mean['forward']:.2f}x, training step {mean['step']:.2f}x")
        say(f"same parameters; outputs agree to {worst:.1e}")


def _said(side: dict[str, Any] | None, what: str) -> str:
    if side is None:
        return "-"
    spread = side[what]
    return f"{side[f'{what}_s'] * 1e3:.1f} ({spread['min'] * 1e3:.1f} - {spread['max'] * 1e3:.1f})"
