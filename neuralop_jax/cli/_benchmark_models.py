"""One row of the benchmark of models: the same network on the same data, here and in the peer's process, timed in turn."""

import pathlib
import tempfile
import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from neuralop_jax import models, training
from neuralop_jax.cli._benchmark_cases import ModelCase
from neuralop_jax.data import Sample
from neuralop_jax.errors import NeuralOpError
from neuralop_jax.evaluation import ModelPeer, Timing, time_call, time_in_turn
from neuralop_jax.interop import from_torch

_CALLS = 8
"""Inferences in a row; the time is that of one."""

_STEPS = 4
"""Training steps in one call, as `train` compiles whole intervals of them; the time is that of one."""

_AGREEMENT = 1e-4
"""Largest relative difference of the outputs, in float32, with the same weights."""


def measure(case: ModelCase, *, repeats: int, peer: ModelPeer | None) -> dict[str, Any]:
    """The median seconds of inference and of a training step (forward, backward, Adam, mean squared error), with their spread.

    An inference is the mean of eight in a row, a step the mean of four: one compiled interval here, as `train` runs them, a loop
    in the peer.

    **Arguments:**

    - `case`: the network and the batch.
    - `repeats`: timed calls of each.
    - `peer`: the process of the originals, or `None` to time this library alone.

    **Returns:** a row of JSON types: `case`, `ours`, `peer`, `ratio` (peer's seconds over ours), `parameters`,
    `output_difference`, relative, with the peer's weights, and `missing`, what the peer lacks to take part.

    **Raises:** `NeuralOpError` if both sides differ in parameters or output, which makes their times incomparable.
    """
    missing = None
    built = _build_with_peer(case, peer) if peer is not None else None
    if isinstance(built, str):
        peer, missing, built = None, built, None
    model, u, difference = _build(case) if built is None else built
    forward, step, compile_seconds = _prepare(model, u)
    rivals = {"ours forward": lambda: time_call(forward, _CALLS), "ours step": lambda: time_call(step) / _STEPS}
    if peer is not None:
        asked = peer
        rivals |= {"peer forward": lambda: asked.seconds("forward", _CALLS), "peer step": lambda: asked.seconds("step", _STEPS)}
    taken: dict[str, Timing] = {}
    for what in ("forward", "step"):
        taken |= time_in_turn({name: call for name, call in rivals.items() if name.endswith(what)}, rounds=repeats)
    sides = {side: _side(taken, side) for side in ("ours", "peer") if f"{side} step" in taken}
    sides["ours"]["compile_s"] = compile_seconds
    return {
        "case": case.name,
        "ours": sides["ours"],
        "peer": sides.get("peer"),
        "ratio": {what: sides["peer"][f"{what}_s"] / sides["ours"][f"{what}_s"] for what in ("forward", "step")}
        if peer
        else None,
        "parameters": models.count_parameters(model),
        "output_difference": difference,
        "missing": missing,
        "repeats": repeats,
    }


def _build(case: ModelCase) -> tuple[models.AbstractOperator, Array, None]:
    inputs = {name: jnp.zeros(shape) for name, shape in case.inputs.items()}
    shape = case.native(inputs).shape
    return models.build(case.spec, key=jax.random.key(0)), jax.random.normal(jax.random.key(1), shape), None


def _build_with_peer(case: ModelCase, peer: ModelPeer) -> tuple[models.AbstractOperator, Array, float] | str:
    """The network with the peer's weights, the peer's input, and how far the outputs differ; or what the peer lacks."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "peer.npz"
        parameters = peer.build(case.family, case.config, case.inputs, file)
        if isinstance(parameters, str):
            return parameters
        with np.load(file, allow_pickle=False) as data:
            arrays = dict(data)
    inputs, y = {name: jnp.asarray(arrays.pop(f"in:{name}")) for name in case.inputs}, arrays.pop("out:y")
    ported = from_torch(case.family, case.config, arrays)
    if models.count_parameters(ported.model) != parameters:
        raise NeuralOpError(f"{case.name}: {models.count_parameters(ported.model)} parameters here but {parameters} in the peer.")
    difference = float(np.linalg.norm(np.asarray(eqx.filter_jit(ported)(**inputs)) - y) / np.linalg.norm(y))
    if not difference < _AGREEMENT:
        raise NeuralOpError(f"{case.name}: the outputs differ by {difference:.1e} relative, wanted below {_AGREEMENT:.0e}.")
    return ported.model, case.native(inputs), difference


def _prepare(model: models.AbstractOperator, x: Array) -> tuple[Callable[[], Array], Callable[[], Any], float]:
    """Inference and an interval of training steps as calls without arguments, compiled, and the seconds of compiling both."""
    optimizer = optax.adam(1e-3)
    micro_batch = len(x) if models.has_batch_norm(model) else models.automatic_micro_batch(model, x.shape[2:], len(x))
    loss = training.supervised(lambda prediction, target: jnp.mean((prediction - target) ** 2))
    one_step = training.make_step(loss, optimizer, micro_batch=micro_batch)
    interval = jax.jit(lambda state, batch, keys: jax.lax.scan(lambda s, k: one_step(s, batch, k), state, keys), donate_argnums=0)
    infer = jax.jit(models.apply_batched)
    shape = jax.eval_shape(models.apply_batched, model, x).shape
    batch = Sample({"u": x}, jax.random.normal(jax.random.key(2), shape, x.dtype))
    keys = jax.random.split(jax.random.key(3), _STEPS)
    state = training.TrainState.create(jax.tree.map(jnp.copy, model), optimizer)  # its buffers are donated, the model's are not

    def steps() -> Any:
        nonlocal state
        state, metrics = interval(state, batch, keys)
        return state, metrics

    start = time.perf_counter()
    jax.block_until_ready((infer(model, x), steps()))
    return lambda: infer(model, x), steps, time.perf_counter() - start


def _side(taken: dict[str, Timing], side: str) -> dict[str, Any]:
    row: dict[str, Any] = {f"{what}_s": taken[f"{side} {what}"].median for what in ("forward", "step")}
    return row | {what: taken[f"{side} {what}"].spread() for what in ("forward", "step")}
