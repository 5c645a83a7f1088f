"""Measures trainings on eight simulated devices, for `test_mesh.py`: prints one JSON object."""

import dataclasses
import json
import math
import re
import shutil
import tempfile
from pathlib import Path

import equinox as eqx
import h5py
import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.console import Console

from neuralop_jax import checkpoint, evaluation, losses
from neuralop_jax.config import DataConfig, ExperimentConfig, LossConfig, MeshConfig, ModelConfig, OptimizerConfig, TrainingConfig
from neuralop_jax.data import DeviceData, Drawn, Sample, reflect
from neuralop_jax.errors import NeuralOpError
from neuralop_jax.layers import BatchNorm
from neuralop_jax.models import FNO, AbstractGridOperator, MultigridPatches, Normalized
from neuralop_jax.models.registry import REGISTRY
from neuralop_jax.normalizers import GaussianNormalizer
from neuralop_jax.training import (
    DeviceMesh,
    TrainState,
    each_sample,
    fit,
    in_precision,
    make_step,
    mesh_exchanges,
    prepare,
    rematerialize,
    supervised,
)
from neuralop_jax.training._interval import on_arrays

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
OPTIMIZER = optax.chain(optax.clip_by_global_norm(0.5), optax.adamw(1e-2))
DATA = DeviceData({"u": jax.random.normal(jax.random.key(1), (20, 1, 16))}, jax.random.normal(jax.random.key(2), (20, 1, 16)))
FOURIER = FNO(in_channels=1, out_channels=1, n_modes=(8,), width=8, depth=1, key=jax.random.key(0))


class Waves(eqx.Module):
    """v = b sin(a u), point by point."""

    a: jax.Array
    b: jax.Array

    def __call__(self, u, *, key=None):
        return self.b * jnp.sin(self.a * u)

    batched = __call__


class Standardized(eqx.Module):
    """v = norm(sin(a u)) with the statistics of the batch."""

    a: jax.Array
    norm: BatchNorm

    def batched(self, u, *, key=None):
        return jnp.moveaxis(self.norm(jnp.moveaxis(jnp.sin(self.a * u), 0, 1), training=True), 1, 0)


class StandardizedPatches(AbstractGridOperator):
    """v = norm(sin(a u)), the sum over all views, with the statistics of all patches of the batch."""

    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    num_dims: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    a: jax.Array
    norm: BatchNorm

    def __init__(self, *, in_channels, out_channels, num_dims=1, key):
        self.in_channels, self.out_channels, self.num_dims, self.width = in_channels, out_channels, num_dims, 1
        self.a, self.norm = jnp.array(1.5), BatchNorm(1)

    def evaluate(self, u, p=None, *, key=None):
        return self.norm(jnp.sum(jnp.sin(self.a * u), 0, keepdims=True), training=True)


def normalized(model):
    return Normalized(model, GaussianNormalizer([0.3], [2.0]), GaussianNormalizer([1.0], [0.5]))


def single(tree):
    """In single precision."""
    return jax.tree.map(lambda x: x.astype(jnp.float32) if eqx.is_inexact_array(x) else x, tree)


def shared_error(prediction, target):
    """The squared error of a field, summed over the blocks that devices have of it."""
    return jax.lax.psum(jnp.sum((prediction - target) ** 2), "space")


def trained(operator, mesh, *, loss=None, indices=None, augmented=True, **options):
    """The state after two steps, the metrics of the second, and the compiled step."""
    loss = supervised(losses.relative_l2) if loss is None else loss
    augment = (lambda u, v, *, key: reflect(u, v, key=key)) if augmented else None
    step = make_step(loss, OPTIMIZER, ema=0.9, augment=augment, mesh=mesh, **options)
    state = TrainState.create(operator, OPTIMIZER, averaged=True)
    state, data = (state, DATA) if mesh is None else (mesh.place_state(state), mesh.place(DATA, mesh.batch_specs(DATA)))
    arrays, static = eqx.partition(state, eqx.is_array)

    def advance(arrays, data, indices, key):
        state, metrics = step(eqx.combine(arrays, static), Drawn(data, indices), key)
        return eqx.filter(state, eqx.is_array), metrics

    indices = jnp.arange(16) if indices is None else indices
    if mesh is not None:
        indices = jax.device_put(indices, jax.sharding.NamedSharding(mesh.mesh, jax.sharding.PartitionSpec()))
    key = jax.random.key(5)
    program = jax.jit(advance).lower(arrays, data, indices, key).compile()
    for _ in range(2):
        arrays, metrics = program(arrays, data, indices, key)
    return arrays, metrics, program


def distance(found, wanted):
    """The largest difference between the numbers of two states, over the largest number of each leaf."""
    pairs = zip(*(jax.tree.leaves(jax.device_get(tree)) for tree in (found, wanted)), strict=True)
    return max(float(np.max(np.abs(a - b)) / max(np.max(np.abs(b)), 1e-300)) for a, b in pairs if np.size(a))


def collectives(program):
    """How often each collective stands in a program, and the shapes that are gathered."""
    text = program.as_text()
    counts = {name: len(re.findall(rf" {name}(?:-start)?\(", text)) for name in COLLECTIVES}
    shapes = re.findall(r"= \w+\[([\d,]*)\][^=]* all-gather(?:-start)?\(", text)
    return counts, sorted(tuple(map(int, filter(None, shape.split(",")))) for shape in shapes)


def compared(operator, mesh, wanted, **options):
    state, metrics, program = trained(operator, mesh, **options)
    counts, gathered = collectives(program)
    loss = abs(float(metrics["loss"]) - float(wanted[1]["loss"]))
    return {"state": distance(state, wanted[0]), "loss": loss, "counts": counts, "gathered": gathered}


def parallel():
    """Data parallelism: portions, accumulation, batch norm, rematerialization, against one device; and cut weights."""
    operator, mesh, twice = normalized(FOURIER), DeviceMesh.create(4), jnp.arange(32).reshape(2, 16) % 20
    wanted, several = trained(operator, None), {"accumulate": 2, "indices": twice}
    figures = {
        name: compared(operator, mesh, wanted, **options)
        for name, options in {"plain": {}, "portions": {"micro_batch": 2}, "rematerialized": {"rematerialized": True}}.items()
    }
    figures["accumulated"] = compared(operator, mesh, trained(operator, None, **several), micro_batch=2, **several)
    statistics = Standardized(jnp.array(1.5), BatchNorm(1))
    figures["batch_norm"] = compared(statistics, mesh, trained(statistics, None, **several), **several)

    mesh = DeviceMesh.create(8, shard_above=100)
    state, metrics, program = trained(operator, mesh)
    counts, gathered = collectives(program)
    leaves = [leaf for leaf in jax.tree.leaves(state) if eqx.is_array(leaf)]
    weights = jax.tree.leaves(eqx.filter(operator.model, eqx.is_inexact_array))
    figures["sharded"] = {
        "state": distance(state, wanted[0]),
        "loss": abs(float(metrics["loss"]) - float(wanted[1]["loss"])),
        "counts": counts,
        "gathered": gathered,
        "here": sum(leaf.addressable_shards[0].data.nbytes for leaf in leaves),
        "whole": sum(leaf.nbytes for leaf in leaves),
        "cut": sum(leaf.nbytes for leaf in leaves if mesh.axis_of(leaf) is not None),
        "arguments": program.memory_analysis().argument_size_in_bytes - sum(leaf.nbytes for leaf in jax.tree.leaves(DATA)),
        "weights": [leaf.shape for leaf in weights if mesh.axis_of(leaf) is not None],
    }
    return figures


def domain():
    """The domain divided among four devices, for a loss that knows, and the refusal of one that does not."""
    model, mesh = Waves(jnp.array(1.5), jnp.array(0.5)), DeviceMesh.create(2, 4)
    alone = supervised(lambda prediction, target: jnp.sum((prediction - target) ** 2))
    wanted = trained(model, None, loss=alone, augmented=False)
    figures = compared(model, mesh, wanted, loss=supervised(shared_error), augmented=False)
    try:
        trained(model, mesh, loss=alone, augmented=False)
    except NeuralOpError as error:
        figures["refusal"] = str(error)
    return figures


def exchanged():
    """Bytes in the all-reduces of a compiled step whose domain is divided, in those that a plan counts, and in those of the loss."""
    small = {"n_modes": (6, 6), "width": 5, "depth": 1, "channel_mlp": False, "lifting_ratio": 0}
    model = single(FNO(in_channels=1, out_channels=1, **small, key=jax.random.key(0)))
    u, mesh = np.zeros((12, 1, 32, 16), np.float32), DeviceMesh.create(1, 4)
    step = make_step(supervised(losses.relative_l2), optax.sgd(1e-2), mesh=mesh)
    arrays, static = eqx.partition(mesh.place_state(TrainState.create(model, optax.sgd(1e-2))), eqx.is_array)
    one = on_arrays(step, static, jax.random.key(0))
    text, found = jax.jit(one).lower(arrays, mesh.place_batch(Sample({"u": u}, u), 1)).compile().as_text(), 0
    for shapes in re.findall(r"= (.*?) all-reduce(?:-start)?\(.*replica_groups=(?:\{\{0,1,2,3\}\}|\[1,4\])", text):
        found += sum(4 * math.prod(map(int, filter(None, shape.split(",")))) for shape in re.findall(r"f32\[([\d,]*)\]", shapes))
    weights = sum(leaf.nbytes for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_array)))
    planned = mesh_exchanges(model, weights, 12, (32, 16))["space"]
    return {"found": found, "planned": sum(each.message * each.calls for each in planned), "loss": 12 * 3 * 4}


def precision():
    """Products in bfloat16 of weights in single precision; and every type that is not what it should be."""
    operator, batch = single(normalized(FOURIER)), single(Sample(DATA.inputs, DATA.target))
    slope = lambda model: jax.grad(lambda m: jnp.mean((eqx.combine(m, model).batched(batch.inputs["u"]) - batch.target) ** 2))
    weights = eqx.filter(operator, eqx.is_inexact_array)
    wanted = slope(operator)(weights)
    half = lambda m: jnp.mean(
        (in_precision(eqx.combine(m, operator), jnp.bfloat16).batched(batch.inputs["u"]) - batch.target) ** 2
    )
    found, text = jax.grad(half)(weights), str(jax.make_jaxpr(half)(weights))
    flat = lambda tree: jnp.concatenate([leaf.reshape(-1) for leaf in jax.tree.leaves(tree)])
    again = jax.grad(lambda m: jnp.mean((rematerialize(eqx.combine(m, operator)).batched(batch.inputs["u"]) - batch.target) ** 2))
    return {
        "gradient": float(jnp.linalg.norm(flat(found) - flat(wanted)) / jnp.linalg.norm(flat(wanted))),
        "types": sorted({leaf.dtype.name for leaf in jax.tree.leaves(found)}),
        "products": len(re.findall(r"bf16\[[\d,]*\] = dot_general", text)),
        "rematerialized": float(jnp.linalg.norm(flat(again(weights)) - flat(wanted)) / jnp.linalg.norm(flat(wanted))),
    }


def remembered():
    """Bytes that the gradient of a deep FNO remembers from the forward pass: as it is, and rematerialized."""
    model = FNO(in_channels=1, out_channels=1, n_modes=(8,), width=8, depth=6, key=jax.random.key(0))
    weights, rest = eqx.partition(model, eqx.is_inexact_array)

    def held(change):
        value = lambda w: jnp.sum(change(eqx.combine(w, rest)).batched(jnp.ones((4, 1, 256))) ** 2)
        residuals = jax.eval_shape(lambda w: jax.vjp(value, w)[1], weights)
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(residuals))

    return [held(change) for change in (lambda model: model, rematerialize)]


def sines(place, points):
    """A file of the pairs u, sin u."""
    values = np.random.default_rng(0).normal(size=(16, points))
    with h5py.File(place / "sines.h5", "w") as file:
        file["a"], file["v"] = values, np.sin(values)
    return str(place / "sines.h5")


def patches():
    """The patches of a domain on two groups of four devices that share a domain each, against one device; what is refused.

    The step in double precision, with losses in patches and accumulated batches in portions; and a run, in that of its data.
    """
    place, figures = Path(tempfile.mkdtemp()), {}
    inner = {"kind": "fno", "n_modes": (2,), "width": 4, "depth": 1}
    options = {"operator": inner, "levels": 2, "padding": 0.0625, "boundary": "reflect", "coordinates": True}
    model = MultigridPatches(in_channels=1, out_channels=1, num_dims=1, **options, key=jax.random.key(0))
    twice = {"accumulate": 2, "indices": jnp.arange(32).reshape(2, 16) % 20, "augmented": False}
    apart = {"loss": supervised(losses.per_patch(losses.relative_h1, 2)), **twice}
    wanted = trained(normalized(model), None, **apart)
    figures["step"] = compared(normalized(model), DeviceMesh.create(2, 4), wanted, micro_batch=2, **apart)

    REGISTRY["standardized"] = StandardizedPatches
    plain = {"in_channels": 1, "out_channels": 1, "operator": {"kind": "standardized"}, "levels": 2, "padding": 0.125}
    model = MultigridPatches(**plain, key=jax.random.key(0))
    figures["batch_norm"] = compared(model, DeviceMesh.create(2, 4), trained(model, None, **twice), **twice)

    config = ExperimentConfig(
        DataConfig(sines(place, 16), ("a",), ("v",), batch_size=4),
        ModelConfig("multigrid_patches", options),
        LossConfig("relative_l2"),
        OptimizerConfig(schedule="constant"),
        TrainingConfig(steps=3, log_every=1, save_every=3),
    )

    def run(name, config):
        fit(config, run_dir=place / name, console=Console(quiet=True))
        lines = [json.loads(line) for line in (place / name / "metrics.jsonl").read_text().splitlines()]
        return np.array([(line["loss"], line["gradient_norm"]) for line in lines])

    figures["run"] = float(
        np.max(np.abs(run("eight", dataclasses.replace(config, mesh=MeshConfig(2, 4))) / run("one", config) - 1))
    )
    few = ModelConfig("multigrid_patches", {**options, "levels": 1})
    try:
        prepare(dataclasses.replace(config, model=few, mesh=MeshConfig(1, 4)))
    except NeuralOpError as error:
        figures["refusal"] = str(error)
    shutil.rmtree(place)
    return figures


def resumed():
    """F11: a run saved on four devices goes on on one, two and eight."""
    evaluation.evaluate = lambda operator, split, batch_size: {"relative_l2": 0.5}
    place = Path(tempfile.mkdtemp())
    plan = TrainingConfig(steps=6, log_every=1, save_every=3, ema=0.9)
    rate = OptimizerConfig(schedule="constant")
    model = ModelConfig("fno", {"n_modes": (4,), "width": 8, "depth": 1})
    config = ExperimentConfig(DataConfig(sines(place, 8), ("a",), ("v",), batch_size=8), model, optimizer=rate, training=plan)
    quiet = Console(quiet=True)

    def run(name, data, steps, **options):
        mesh = MeshConfig(data, shard_parameters_above=50 if data > 1 else 0)
        training = dataclasses.replace(plan, steps=steps, save_every=3 if steps == 3 else 6)
        result = fit(dataclasses.replace(config, mesh=mesh, training=training), run_dir=place / name, console=quiet, **options)
        lines = [json.loads(line) for line in (place / name / "metrics.jsonl").read_text().splitlines()]
        return [line["loss"] for line in lines], result.operator

    wanted, _ = run("four", 4, 6)
    _, operator = run("first", 4, 3)
    figures = {"saved": bool(eqx.tree_equal(checkpoint.load(place / "first"), operator)), "losses": {}}
    for data in (1, 2, 8):
        shutil.copytree(place / "first", place / str(data))
        found, _ = run(str(data), data, 6, resume=True)
        figures["losses"][data] = max(abs(a - b) / b for a, b in zip(found, wanted, strict=True))
        figures.setdefault("kept", []).append(bool(eqx.tree_equal(checkpoint.load(place / str(data), step=3), operator)))
    shutil.rmtree(place)
    return figures


def refused():
    """What cannot be divided."""
    lines = []
    for attempt in (
        lambda: DeviceMesh.create(4, 3),
        lambda: DeviceMesh.create(8).check_sizes(20, (16,)),
        lambda: DeviceMesh.create(1, 8).check_sizes(20, (12, 16)),
    ):
        try:
            attempt()
        except NeuralOpError as error:
            lines.append(str(error))
    return lines


def each():
    """A loss of one sample at a time, with keys: every sample has the key that it has on one device."""
    noisy = each_sample(lambda m, s, key: jnp.mean((m(s.inputs["u"]) - jax.random.normal(key, s.target.shape)) ** 2))
    model = Waves(jnp.array(1.5), jnp.array(0.5))
    return compared(model, DeviceMesh.create(8), trained(model, None, loss=noisy), loss=noisy)


if __name__ == "__main__":
    parts = (parallel, domain, exchanged, patches, precision, remembered, resumed, refused, each)
    print(json.dumps({part.__name__: part() for part in parts}))
