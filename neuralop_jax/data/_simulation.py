"""Samples of a generator by number: each the same bits whatever is computed before, after and in which portions."""

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, UInt32

from neuralop_jax._typing import PRNGKey
from neuralop_jax.data._schema import field_shape
from neuralop_jax.data._shards import Portion
from neuralop_jax.data.generators import AbstractGenerator, generator_name
from neuralop_jax.errors import ConfigError
from neuralop_jax.info import SplitInfo

_POLL = 0.005
"""Seconds between two looks at a running computation."""


class Simulation:
    """Computes samples in batches of one size that start at its multiples.

    Sample `i` is simulated with the key `fold_in(key(seed), i)`, always at the place `i % batch` of the same compiled program: in
    which portions samples are asked for changes no bit.

    **Arguments:**

    - `generator`: what to simulate.
    - `resolution`: points per axis.
    - `seed`: which dataset.
    - `batch`: samples at once.

    **Raises:** `ConfigError` if the generator's fields and what it simulates do not agree.
    """

    def __init__(self, generator: AbstractGenerator, resolution: int, seed: int, batch: int):
        self._generator, self._resolution, self._batch = generator, resolution, batch
        self._key = jax.random.key(seed)
        self._split = SplitInfo(1, generator.grid(resolution), generator.times)
        self._check()

    def portions(self, start: int, stop: int, on_wait: Callable[[], object]) -> Iterator[Portion]:
        """The samples `start` to `stop`, at most a batch at a time as soon as it is computed; until then `on_wait` is called."""
        for first in range(start // self._batch * self._batch, stop, self._batch):
            numbers = np.arange(first, first + self._batch, dtype=np.uint32)
            arrays, reasons = self._stored(self._run(self._generator, numbers, on_wait), self._batch)
            failed, retried = {}, {}
            low, high = max(start, first), min(stop, first + self._batch)
            for number in range(low, high):
                if reasons[number - first]:
                    again, attempts, reason = self._again(number, reasons[number - first], on_wait)
                    for name, values in arrays.items():
                        values[number - first] = again[name][0] if again else 0
                    if again:
                        retried[number] = attempts
                    else:
                        failed[number] = reason
            kept = {name: values[low - first : high - first] for name, values in arrays.items()}
            yield Portion(low, high, kept, failed, retried)

    def _again(self, number: int, reason: str, on_wait: Callable[[], object]) -> tuple[dict[str, np.ndarray] | None, int, str]:
        """A failed sample by the generator's ladder of retries: its fields if one succeeds, the attempts, the last reason."""
        attempt = 0
        while (other := self._generator.retry(attempt + 1)) is not None:
            attempt += 1
            arrays, (reason,) = self._stored(self._run(other, np.array([number], np.uint32), on_wait), 1)
            if not reason:
                return arrays, attempt, ""
        return None, attempt, reason

    def _run(self, generator: AbstractGenerator, numbers: np.ndarray, on_wait: Callable[[], object]) -> Any:
        """Simulates samples; `on_wait` may raise to give them up."""
        result = _simulate(generator, self._resolution, self._key, jnp.asarray(numbers))
        while not all(leaf.is_ready() for leaf in jax.tree.leaves(result)):
            on_wait()
            time.sleep(_POLL)
        return result

    def _stored(self, result: Any, count: int) -> tuple[dict[str, np.ndarray], list[str]]:
        """The fields in the shape and type in which they are stored, and for each sample why it failed, or nothing."""
        fields, codes = result
        codes = np.asarray(codes).reshape(count)
        finite, arrays = np.ones(count, bool), {}
        for field in self._generator.fields:
            values = np.asarray(fields[field.name])
            with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, hence failed
                values = values.astype(np.float32 if values.dtype.kind == "f" else values.dtype)
            finite &= np.isfinite(values.reshape(count, -1)).all(axis=1)
            arrays[field.name] = values.reshape(count, *field_shape(field, self._split)[1:]).copy()
        reasons = [f"result code {code}" if code else "" for code in codes]
        return arrays, [reason or ("" if good else "values not finite") for reason, good in zip(reasons, finite, strict=True)]

    def _check(self) -> None:
        """Raises `ConfigError` unless one sample has the fields that the generator states, in their shapes."""
        name, split = generator_name(self._generator), self._split
        numbers = jnp.zeros(self._batch, jnp.uint32)
        found, _ = jax.eval_shape(lambda: _simulate(self._generator, self._resolution, self._key, numbers))
        time_of = {field.name: (len(split.times),) if field.time_varying else () for field in self._generator.fields}
        wanted = {field.name: (*time_of[field.name], field.channels, *split.grid.shape) for field in self._generator.fields}
        shapes = {key: tuple(value.shape[1:]) for key, value in found.items()}
        if shapes != wanted:
            raise ConfigError(f"generator {name!r} simulates {shapes}, but its fields, times and grid make {wanted}. Correct it.")


@functools.partial(jax.jit, static_argnums=(0, 1))
def _simulate(
    generator: AbstractGenerator, resolution: int, key: PRNGKey, numbers: UInt32[Array, " batch"]
) -> tuple[dict[str, Array], Int[Array, " batch"]]:
    return jax.vmap(lambda number: generator.simulate(resolution, key=jax.random.fold_in(key, number)))(numbers)
