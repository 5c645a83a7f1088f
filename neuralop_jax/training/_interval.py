"""Many steps between two log lines: one compiled scan over data on the device, or a loop over batches from disk."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from neuralop_jax._typing import PRNGKey
from neuralop_jax.data import DeviceData, Drawn, GrainBatches, Sample, batch_indices
from neuralop_jax.training._mesh import DeviceMesh
from neuralop_jax.training._state import TrainState
from neuralop_jax.training._step import Step

History = Mapping[str, np.ndarray | jax.Array]
"""A metric of every step of an interval, by name; reading it may wait for the steps to end."""


@dataclasses.dataclass
class DeviceInterval:
    """Steps as one `lax.scan` over data on the device: no transfer and no Python between two log lines.

    The batch of a step is a function of `data_key` and the number of the step alone, its noise of `noise_key` and the number: an
    interrupted training continues with the same numbers.

    **Arguments:**

    - `step`: from `make_step`.
    - `data`: the training split.
    - `batch_size`: samples per batch.
    - `accumulate`: batches per step, as of `make_step`; none is in memory as a whole.
    - `data_key`, `noise_key`: the random streams.
    - `mesh`: the devices that share the training, as of `make_step`; all samples are on each of them.
    """

    step: Step
    data: DeviceData
    batch_size: int
    data_key: PRNGKey
    noise_key: PRNGKey
    accumulate: int = 1
    mesh: DeviceMesh | None = None
    compile_seconds: float = dataclasses.field(default=0.0, init=False)
    _programs: dict[int, Callable[..., Any]] = dataclasses.field(default_factory=dict, init=False)

    def __post_init__(self):
        if self.mesh is not None:
            self.data = self.mesh.place(self.data, self.mesh.batch_specs(self.data))

    def __call__(self, state: TrainState, num_steps: int) -> tuple[TrainState, History]:
        """The state after `num_steps` more steps (the given one is used up) and the metrics of each, `(num_steps,)`."""
        arrays, static = eqx.partition(state if self.mesh is None else self.mesh.place_state(state), eqx.is_array)
        if num_steps not in self._programs:
            self._programs[num_steps], seconds = compiled(self.function(static, num_steps), arrays, self.data)
            self.compile_seconds += seconds
        arrays, metrics = self._programs[num_steps](arrays, self.data)
        return eqx.combine(arrays, static), metrics

    def function(self, static: TrainState, num_steps: int) -> Callable[[TrainState, DeviceData], tuple[TrainState, History]]:
        """What a call computes, as a pure function of the arrays of a state, whose other leaves are `static`, and of the data."""
        one = on_arrays(self.step, static, self.noise_key)

        def advance(arrays: TrainState, data: DeviceData) -> tuple[TrainState, History]:
            body = lambda arrays, _: one(arrays, Drawn(data, self._indices(arrays.step)))
            return jax.lax.scan(body, arrays, length=num_steps)

        return advance

    def position(self) -> None:
        """Nothing: the batches follow from the step."""

    def resume_at(self, position: None) -> None:
        """Nothing to do."""

    def batch_of(self, step: int) -> tuple[dict[str, Any], Sample]:
        """Where the batch of a step comes from, the indices of its samples, and the batch."""
        indices = self._indices(jnp.asarray(step, jnp.int32)).reshape(-1)
        return {"indices": indices.tolist()}, self.data.take(indices)

    def _indices(self, step: jax.Array) -> jax.Array:
        first = step * self.accumulate
        draw = lambda number: batch_indices(self.data_key, number, self.data.num_samples, self.batch_size)
        return draw(step) if self.accumulate == 1 else jax.lax.map(draw, first + jnp.arange(self.accumulate, dtype=first.dtype))


@dataclasses.dataclass
class StreamInterval:
    """Steps as a loop over batches from a stream, for data that do not fit on the device; the same compiled step each time.

    **Arguments:** as in `DeviceInterval`, with `batches` from `data.grain_batches` in place of the data and their key. Of a mesh
    that several processes share, each reads the samples of its own devices.

    !!! example

        ```python
        import jax, optax
        from neuralop_jax.data import HDF5Dataset, grain_batches
        from neuralop_jax.losses import relative_l2
        from neuralop_jax.models import FNO
        from neuralop_jax.training import StreamInterval, TrainState, make_step, supervised

        dataset = HDF5Dataset("datasets/darcy_small/darcy_small.h5", "train", "permeability", "pressure")
        model = FNO(in_channels=1, out_channels=1, n_modes=(4, 4), width=4, depth=1, key=jax.random.key(0))
        step = make_step(supervised(relative_l2), optax.sgd(1e-2))
        interval = StreamInterval(step, grain_batches(dataset, 4, seed=0), noise_key=jax.random.key(1))
        state, history = interval(TrainState.create(model, optax.sgd(1e-2)), 2)
        assert state.step == 2 and history["loss"].shape == (2,)
        ```
    """

    step: Step
    batches: GrainBatches
    noise_key: PRNGKey
    accumulate: int = 1
    mesh: DeviceMesh | None = None
    compile_seconds: float = dataclasses.field(default=0.0, init=False)
    _program: Callable[..., Any] | None = dataclasses.field(default=None, init=False)
    _before: Any = dataclasses.field(default=None, init=False)

    def __call__(self, state: TrainState, num_steps: int) -> tuple[TrainState, History]:
        """The state after `num_steps` more steps (the given one is used up) and the metrics of each, `(num_steps,)`."""
        arrays, static = eqx.partition(state if self.mesh is None else self.mesh.place_state(state), eqx.is_array)
        self._before = int(state.step), self.batches.get_state()
        history = []
        for _ in range(num_steps):
            batch = self._next()
            if self._program is None:
                self._program, self.compile_seconds = compiled(on_arrays(self.step, static, self.noise_key), arrays, batch)
            arrays, metrics = self._program(arrays, batch)
            history.append(metrics)
        history = jax.tree.map(lambda *values: np.stack([np.asarray(value) for value in values]), *history)
        return eqx.combine(arrays, static), history

    def position(self) -> dict[str, Any]:
        """The position of the stream."""
        return self.batches.get_state()

    def resume_at(self, position: dict[str, Any]) -> None:
        """Moves the stream to a position."""
        self.batches.set_state(position)

    def batch_of(self, step: int) -> tuple[dict[str, Any], Sample]:
        """The position of the stream before the batch of a step of the newest interval, and the batch. The stream moves there."""
        self.batches.set_state(self._before[1])
        for _ in range(step - self._before[0]):
            self._next()
        return {"stream": self.batches.get_state()}, self._next()

    def _next(self) -> Sample:
        pieces = [next(self.batches) for _ in range(self.accumulate)]
        batch = pieces[0] if self.accumulate == 1 else jax.tree.map(lambda *values: np.stack(values), *pieces)
        return jax.tree.map(jnp.asarray, batch) if self.mesh is None else self.mesh.place_batch(batch, min(self.accumulate, 2))


Interval = DeviceInterval | StreamInterval
"""`interval(state, num_steps) -> (state, history)`, whatever the batches come from."""


def on_arrays(
    step: Step, static: TrainState, noise_key: PRNGKey
) -> Callable[[TrainState, Sample | Drawn], tuple[TrainState, Any]]:
    """`step` as a function of the arrays of a state alone, with the noise that belongs to its number."""

    def one(arrays: TrainState, batch: Sample | Drawn) -> tuple[TrainState, Any]:
        state, metrics = step(eqx.combine(arrays, static), batch, jax.random.fold_in(noise_key, arrays.step))
        return eqx.filter(state, eqx.is_array), metrics

    return one


def compiled(function: Callable[..., Any], arrays: Any, *others: Any) -> tuple[Callable[..., Any], float]:
    """The program of `function(arrays, *others)`, which uses `arrays` up, and the seconds that compiling took."""
    start = time.perf_counter()
    program = jax.jit(function, donate_argnums=0).lower(arrays, *others).compile()
    return program, time.perf_counter() - start
