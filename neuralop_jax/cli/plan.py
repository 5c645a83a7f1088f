"""`plan CONFIG`: what a training will take, on one screen, before it is started."""

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from neuralop_jax.cli._console import say, show_table
from neuralop_jax.cli._json_file import json_file
from neuralop_jax.cli._run import write_json
from neuralop_jax.config import ExperimentConfig, load_config
from neuralop_jax.errors import ConfigError

if TYPE_CHECKING:
    from neuralop_jax.training import Network, Plan

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_QUANTITIES = {
    "step_seconds": ("s", True),
    "teraflops": ("Tflop/s", False),
    "bandwidth": ("GB/s", False),
    "node_bandwidth": ("GB/s", False),
    "node_size": ("devices", False),
    "latency": ("us", True),
}
"""In what a number is given, and whether it may be 0."""


@dataclasses.dataclass(frozen=True)
class PlanOptions:
    """Print what a training will take, before any step of it: parameters, operations, memory, grids, shared samples, exchanges.

    Options in the form --section.option VALUE take precedence over the file, as in train. Neither weights nor data are loaded.
    The last table predicts the weak scaling to 4,096 devices, each with as much to compute as one of DEVICES: the part of the
    time in which a device computes, if no exchange is hidden behind computing.
    """

    config: tyro.conf.Positional[Path]
    """The experiment, a TOML file."""
    _: dataclasses.KW_ONLY
    devices: int = 0
    """Devices that share the samples of a batch; 0 takes those of mesh.data."""
    json: Path | None = None
    """File to write the plan to."""
    time: bool = False
    """Run a few steps on random numbers, and expect the time of the whole training."""
    step_seconds: float = 0.0
    """Seconds of a step on one device, for instance measured on another machine; instead of --time, 0 for none."""
    teraflops: float = 10.0
    """What a device sustains, in 10^12 operations per second, where no step was timed. A Fourier layer is bound by memory: take a
    sixth of the peak in float32, which is 67 for an H100."""
    bandwidth: float = 50.0
    """GB/s that a device sends to other nodes: 50 for InfiniBand NDR, 100 for XDR; on a TPU to other chips: 600 for v5p, 200 for
    v5e."""
    node_bandwidth: float = 450.0
    """GB/s inside a node: 450 for NVLink 4 (H100, H200), 900 for NVLink 5 (B200), 300 for NVLink 3 (A100); 600 for TPU v5p."""
    node_size: int = 8
    """Devices of a node."""
    latency: float = 10.0
    """Microseconds until a message arrives, however short."""


@dataclasses.dataclass(frozen=True)
class PlanHelp(PlanOptions):
    __doc__ = PlanOptions.__doc__

    experiment: Annotated[ExperimentConfig, tyro.conf.arg(name="")]


def plan(options: PlanOptions, overrides: list[str]) -> None:
    """Prints the plan of an experiment and, if asked, writes it."""
    config = load_config(options.config, overrides)
    file = json_file(options.json)
    for name, (unit, may_be_zero) in _QUANTITIES.items():
        value = getattr(options, name)
        if not 0 <= value < math.inf or (value == 0 and not may_be_zero):
            wanted = "at least 0" if may_be_zero else "above 0"
            raise ConfigError(f"--{name.replace('_', '-')} must be finite and {wanted}, got {value:g} {unit}.")

    from neuralop_jax import models, training

    network = training.Network(options.bandwidth * 1e9, options.node_bandwidth * 1e9, options.node_size, options.latency * 1e-6)
    models.check_options(config.model.kind, config.model.options)
    found = training.plan(config, devices=options.devices, timed=options.time and not options.step_seconds)
    seconds = options.step_seconds or found.step_seconds
    assumed = seconds or found.flops / (options.teraflops * 1e12)
    scaling = {kind: training.predicted_efficiency(each, assumed, network) for kind, each in found.exchanges.items()}
    say(f"{config.model.kind} on {config.data.path}: {_size(found)}")
    _show_costs(found)
    _show_grids(found)
    _show_exchanges(found, scaling)
    how = "as given" if options.step_seconds else "timed" if seconds else f"assumed from {options.teraflops:g} Tflop/s a device"
    say(f"A step computes {assumed:.3g} s ({how}); {_describe(network)}.")
    if seconds:
        say(f"Expected: {_duration(seconds * found.steps)} for {found.steps:,} steps, without compiling and evaluating.")
    for line in found.warnings:
        say(f"Look at this: {line}")
    if file is not None:
        write_json(file, _to_json(found, scaling, assumed, options, network), indent=1)
        say(f"Written to {options.json}.")


def _size(found: "Plan") -> str:
    each = f"{found.samples} samples on each of {found.devices} devices" if found.devices > 1 else f"{found.samples} samples"
    return f"{found.steps:,} steps of {each}, {found.epochs:.3g} epochs, {found.samples_seen:,} samples seen"


def _show_costs(found: "Plan") -> None:
    """Parameters beside memory: two lists that fit one table."""
    parts = [*found.parts.items(), ("all parameters", found.parameters)]
    names = {"data": "training data", "averages": "averaged weights", "other": "normalizers, buffers"}
    memory: list[tuple[str, tuple[int, ...]]] = [
        (names.get(name, name), (size, size)) for name, size in found.memory.items() if size
    ]
    at_once = sorted(found.temporaries)
    memory.append(("temporaries of a step", tuple(found.temporaries[size] for size in at_once)))
    memory.append(("all memory", tuple(found.total(size) for size in at_once)))
    empty = ("", "")
    rows = []
    for row in range(max(len(parts), len(memory))):
        part = (parts[row][0], f"{parts[row][1]:,}") if row < len(parts) else empty
        what, sizes = memory[row] if row < len(memory) else ("", ())
        rows.append((*part, what, *([_bytes(size) for size in sizes][: len(at_once)] or [""] * len(at_once))))
    columns = [f">{size} samples at once" for size in at_once]
    show_table(("part", ">parameters", "memory of a device", *columns), rows)
    loops = f", loops of unknown length ({found.open_loops}) counted as one pass" if found.open_loops else ""
    say(f"{found.flops:.3g} floating-point operations per step and device{loops}.")


def _show_grids(found: "Plan") -> None:
    rows = [
        (
            each.split,
            f"{each.num_samples:,}",
            _times(each.shape),
            _times(each.nyquist),
            _times(each.kept) or "-",
            "-" if index == 0 else "not comparable" if each.shared is None else f"{each.shared:,}",
        )
        for index, each in enumerate(found.grids)
    ]
    columns = ("split", ">samples", "grid", "largest wavenumber: Nyquist", "kept", f">also in {found.grids[0].split}")
    show_table(columns, rows)


def _show_exchanges(found: "Plan", scaling: dict[str, dict[int, float]]) -> None:
    devices = next(iter(scaling.values()))
    rows = [
        (
            kind,
            _bytes(found.total(found.micro_batch, sharded="sharded" in kind)),
            _bytes(sum(each.sent(found.devices) for each in found.exchanges[kind])),
            *(f"{100 * efficiency:.1f} %" for efficiency in efficiencies.values()),
        )
        for kind, efficiencies in scaling.items()
    ]
    columns = (f"{found.devices} share", ">memory of each", ">sent by each per step", *(f">{count:,}" for count in devices))
    show_table(columns, rows, title="Exchanges, and the efficiency predicted for numbers of devices")


def _describe(network: "Network") -> str:
    inside, outside = network.node_bandwidth / 1e9, network.bandwidth / 1e9
    return (
        f"links of {inside:g} GB/s in nodes of {network.node_size}, {outside:g} GB/s between them, {network.latency * 1e6:g} us"
    )


def _to_json(
    found: "Plan", scaling: dict[str, dict[int, float]], seconds: float, options: PlanOptions, network: "Network"
) -> dict[str, Any]:
    """The plan in JSON types."""
    tree = dataclasses.asdict(found)
    sent = {kind: sum(each.sent(found.devices) for each in entries) for kind, entries in found.exchanges.items()}
    return {
        "config": str(options.config),
        **tree,
        "sent_bytes": sent,
        "network": dataclasses.asdict(network),
        "assumed_step_seconds": seconds,
        "efficiency": scaling,
    }


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _bytes(number: int | float) -> str:
    """A size in the largest unit in which it is at least one."""
    power = 0
    while number >= 1024 and power < len(_UNITS) - 1:
        number, power = number / 1024, power + 1
    return f"{number:.3g} {_UNITS[power]}"


def _duration(seconds: float) -> str:
    """Seconds in a unit in which a person thinks of them."""
    for unit, length in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} seconds"
