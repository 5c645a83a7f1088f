"""What a training will take, before any step: its size, its cost, its memory, its grids and its held-out data."""

import dataclasses
import math
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PyTree

from neuralop_jax import data, models
from neuralop_jax._checks import did_you_mean
from neuralop_jax.config import ExperimentConfig
from neuralop_jax.data import Sample
from neuralop_jax.errors import DataError
from neuralop_jax.evaluation import Collective, program_cost
from neuralop_jax.grids import Grid
from neuralop_jax.info import DatasetInfo
from neuralop_jax.models import AbstractTrajectoryOperator, Normalized
from neuralop_jax.models._batched import largest_divisor
from neuralop_jax.normalizers import fit_normalizer
from neuralop_jax.training._interval import on_arrays
from neuralop_jax.training._mesh import DeviceMesh
from neuralop_jax.training._optimizers import make_optimizer
from neuralop_jax.training._scaling import mesh_exchanges
from neuralop_jax.training._setup import (
    build_model,
    build_step,
    choose_micro_batch,
    on_device,
    refuse_shared,
    shared_line,
    stream,
)
from neuralop_jax.training._setup_checks import (
    check_batches,
    check_mesh,
    check_samples,
    check_splits,
    check_states,
    check_step,
    pairing_of,
    sample_shapes,
)
from neuralop_jax.training._state import TrainState

_TIMED = 5
"""Steps of which the median is taken."""


@dataclasses.dataclass(frozen=True)
class GridPlan:
    """A split beside the model: its grid, the largest wavenumber of that and of the model, and samples shared with the training.

    - `nyquist`: per axis, half the points that the model sees at once.
    - `kept`: per axis, the largest wavenumber that the model keeps there; empty if it keeps no modes.
    - `shared`: samples whose input is one of the training split; `None` where the grids have no points in common.
    """

    split: str
    num_samples: int
    shape: tuple[int, ...]
    nyquist: tuple[int, ...]
    kept: tuple[int, ...]
    shared: int | None


@dataclasses.dataclass(frozen=True)
class Plan:
    """What `plan` finds out. Bytes and operations are those of one device.

    - `parts`: trainable numbers by part of the model; `parameters` all of them.
    - `samples`: samples of a step on one device; `micro_batch` of them are computed at once.
    - `flops`: floating-point operations of a step; `open_loops` loops of unknown length are counted as one pass.
    - `memory`: bytes of `parameters`, `optimizer`, `averages`, `other` (normalizers, buffers), `data` (a training split that is
      held on the device), `batch`; `temporaries` of the compiled step, by the samples that it computes at once.
    - `exchanges`: the collectives of a step by the kind of mesh.
    - `grids`: the training split and the held-out ones.
    - `warnings`: what to look at before the training, one line each.
    - `step_seconds`: the seconds of a step on one device of this machine, if it was timed.
    """

    parts: dict[str, int]
    parameters: int
    devices: int
    samples: int
    micro_batch: int
    flops: float
    open_loops: int
    memory: dict[str, int]
    temporaries: dict[int, int]
    exchanges: dict[str, tuple[Collective, ...]]
    grids: tuple[GridPlan, ...]
    warnings: tuple[str, ...]
    steps: int
    epochs: float
    samples_seen: int
    step_seconds: float | None

    def total(self, samples_at_once: int, *, sharded: bool = False) -> int:
        """The bytes of everything on one device; if weights are sharded, with those that a step gathers, beside the own part."""
        whole = sum(self.memory.values()) + self.temporaries[samples_at_once]
        divided = sum(self.memory[name] for name in ("parameters", "optimizer", "averages"))
        return whole - divided + self.memory["parameters"] + -(-divided // self.devices) if sharded else whole


def plan(config: ExperimentConfig, *, devices: int = 0, timed: bool = False) -> Plan:
    """Reads the description of the data, traces and compiles the training step, and compares the splits; trains nothing.

    The step is the real one, on abstract arrays: neither weights nor data are made, but for `timed`. It is compiled for the
    platform of this process, whose memory it is; on another one temporaries differ.

    **Arguments:**

    - `config`: the experiment.
    - `devices`: devices that share the samples of a batch; 0 takes those of `mesh.data`.
    - `timed`: whether to run a few steps on random numbers.

    **Raises:** `ConfigError` and `DataError`, as `prepare`, but for what the numbers in the file or the devices here decide.

    !!! example

        ```python
        from neuralop_jax.config import load_config
        from neuralop_jax.training import plan

        small = ["--model.width=4", "--model.depth=1", "--model.n-modes=4,4"]
        found = plan(load_config("configs/darcy_small/fno.toml", small), devices=4)
        assert found.samples == 5 and found.epochs == 30
        ```
    """
    wanted = config.mesh if devices == 0 else dataclasses.replace(config.mesh, data=devices)
    devices = wanted.data
    pairing = pairing_of(config.data)
    info = data.read_info(config.data.path, pairing.names, num_dims=config.data.num_dims)
    split = config.data.train_split
    if split not in info.splits:
        raise DataError(
            f"{config.data.path} has no split {split!r}. Found: {', '.join(info.splits)}.{did_you_mean(split, info.splits)}"
        )
    sample, grid, num_samples = sample_shapes(config.data, info, split), info.splits[split].grid, info.splits[split].num_samples
    check_samples(config.data, info)
    check_batches(config, num_samples)
    batch_size, accumulate = config.data.batch_size, config.optimizer.accumulate
    whole = batch_size * accumulate
    optimizer = make_optimizer(config.optimizer, config.training.steps)
    state = _abstract_state(config, sample, grid, pairing.target_times(info, split), optimizer)
    operator, local = state.model, batch_size // devices
    check_splits(config, info, operator)
    mesh = DeviceMesh.planned(devices, wanted.space, shard_above=wanted.shard_parameters_above)
    if devices * wanted.space > 1:
        check_mesh(config, mesh, operator, grid.shape)
    shared = data.shared_samples(config.data.path, split, pairing.input, num_dims=grid.num_dims)
    if config.data.shared_samples == "error":
        evaluated = [name for name in shared if models.refused_grid(operator, info.splits[name].grid.shape) is None]
        refuse_shared(config.data, info, {name: shared[name] for name in evaluated})
    sizes = (local,) if accumulate == 1 else (accumulate, local)
    batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct((*sizes, *x.shape), x.dtype), sample)
    chosen = choose_micro_batch(config, operator, grid, batch_size)
    if wanted.space > 1:
        check_step(config, build_step(config, operator, grid, optimizer, chosen, mesh), state, sample)
    micro_batch = largest_divisor(local, chosen)
    arrays, static = eqx.partition(state, _is_abstract)
    noise = stream(config.seed, "noise")
    step = lambda size: on_arrays(build_step(config, operator, grid, optimizer, size), static, noise)
    cost = program_cost(step(micro_batch), arrays, batch)
    programs = {size: jax.jit(step(size), donate_argnums=0).lower(arrays, batch).compile() for size in {local, micro_batch}}
    weights = eqx.filter_eval_shape(lambda model: eqx.filter(model, models.trainable(model)), operator)
    splits = (split, *shared)
    grids = tuple(_grid_plan(operator, info, name, shared.get(name)) for name in splits)
    resident = num_samples * _num_bytes(sample)
    return Plan(
        parts=_parts(weights.model),
        parameters=_count(weights),
        devices=devices,
        samples=local * accumulate,
        micro_batch=micro_batch,
        flops=cost.flops,
        open_loops=cost.open_loops,
        memory={
            "parameters": _num_bytes(weights),
            "optimizer": _num_bytes(state.opt_state),
            "averages": _num_bytes(state.ema),
            "other": _num_bytes(operator) - _num_bytes(weights),
            "data": resident if on_device(config.data, resident) else 0,
            "batch": _num_bytes(batch),
        },
        temporaries={size: _temporaries(program) for size, program in programs.items()},
        exchanges=mesh_exchanges(
            operator,
            float(_num_bytes(weights)),
            whole,
            grid.shape,
            portions=local * accumulate // micro_batch,
            space=wanted.space,
        ),
        grids=grids,
        warnings=tuple(_warnings(config, operator, grids)),
        steps=config.training.steps,
        epochs=config.training.steps * accumulate / (num_samples // batch_size),
        samples_seen=config.training.steps * whole,
        step_seconds=_seconds(programs[micro_batch], arrays, batch) if timed else None,
    )


def _abstract_state(
    config: ExperimentConfig, sample: Sample, grid: Grid, times: tuple[float, ...], optimizer: optax.GradientTransformation
) -> TrainState:
    """The state before the first step, with shapes in the place of arrays."""

    def create() -> TrainState:
        model = build_model(config, sample, grid, times)
        check_states(config.data, model, times)
        fit = lambda kind, shape: fit_normalizer(kind, [np.zeros((1, shape[0], 1))])
        input = fit(config.data.input_normalizer, sample.inputs["u"].shape)
        is_trajectory = isinstance(model, AbstractTrajectoryOperator)
        output = input.repeated(len(model.times)) if is_trajectory else fit(config.data.target_normalizer, sample.target.shape)
        return TrainState.create(Normalized(model, input, output), optimizer, averaged=config.training.ema > 0)

    return eqx.filter_eval_shape(create)


def _is_abstract(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)


def _shapes(tree: PyTree) -> list[jax.ShapeDtypeStruct]:
    return [leaf for leaf in jax.tree.leaves(tree) if _is_abstract(leaf)]


def _num_bytes(tree: PyTree) -> int:
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in _shapes(tree))


def _count(tree: PyTree) -> int:
    return sum(math.prod(leaf.shape) for leaf in _shapes(tree))


def _parts(weights: PyTree) -> dict[str, int]:
    """The trainable numbers by attribute of the model; of a model that only wraps another, those of the other."""
    named = [field.name for field in dataclasses.fields(weights)]
    counts = {name: _count(getattr(weights, name)) for name in named if _count(getattr(weights, name))}
    if len(counts) == 1 and isinstance(inside := getattr(weights, *counts), eqx.Module):
        return {f"{name}.{part}": count for name in counts for part, count in _parts(inside).items()}
    label = lambda name: f"{name} ({len(getattr(weights, name))})" if isinstance(getattr(weights, name), tuple) else name
    return {label(name): count for name, count in counts.items()}


def _grid_plan(operator: Normalized, info: DatasetInfo, split: str, shared: int | None) -> GridPlan:
    known = info.splits[split]
    n_modes, seen = models.modes_and_grid(operator, known.grid.shape)
    kept = tuple(min(m, n) // 2 for m, n in zip(n_modes, seen, strict=False))
    return GridPlan(split, known.num_samples, known.grid.shape, tuple(n // 2 for n in seen), kept, shared)


def _warnings(config: ExperimentConfig, operator: Normalized, grids: Sequence[GridPlan]) -> Iterator[str]:
    """What to look at before the training."""
    train, *held_out = grids
    if not held_out:
        yield f"{config.data.path} has no split but {train.split!r}: no error on held-out data will be known. Add one."
    for each in held_out:
        if (reason := models.refused_grid(operator, each.shape)) is not None:
            yield f"{each.split} will be left out: {reason}."
        elif (left := models.clipped_modes(operator, each.shape)) is not None:
            yield f"{each.split}: its grid holds {'x'.join(map(str, left))} of the modes; the others do nothing there."
        if each.shared:
            line = shared_line(each.split, each.shared, each.num_samples, train.split)
            yield f"{line}, on which normalizers and weights are fitted: its errors say little of new samples."


def _temporaries(program: jax.stages.Compiled) -> int:
    """The bytes that a program takes beside its arguments and results; 0 where the platform does not tell."""
    analysis = program.memory_analysis()
    return 0 if analysis is None else int(analysis.temp_size_in_bytes)


def _seconds(program: Any, arrays: TrainState, batch: Sample) -> float:
    """The median seconds of a step on numbers that do not matter."""
    filled = lambda leaf: jnp.full(leaf.shape, 0.01 if jnp.issubdtype(leaf.dtype, jnp.inexact) else 0, leaf.dtype)
    state, batch = jax.tree.map(filled, (arrays, batch))
    seconds = []
    for _ in range(_TIMED + 1):
        start = time.perf_counter()
        state, _ = jax.block_until_ready(program(state, batch))
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])
