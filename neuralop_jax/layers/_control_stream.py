"""Controls of series that arrive observation by observation, and series of different lengths side by side."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

from neuralop_jax.errors import ModelInputError
from neuralop_jax.layers._control import check_kind, control_channels, hermite_pieces, linear_pieces


class StreamState(eqx.Module):
    """What the next observation has to know of those before: the control at the last one, and the slope of its last piece."""

    value: Float[Array, " channels"]
    slope: Float[Array, " channels"]
    alone: Bool[Array, ""]


class ControlStream(eqx.Module):
    """The control of a series as its observations arrive: the pieces of `control(..., fill="forward")`, one after the other.

    **Arguments:**

    - `kind`, `count_weight`: as for `control`.

    **Raises:** `ConfigError` for an unknown kind.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.layers import ControlStream, control

        stream = ControlStream("rectilinear")
        state = stream.begin(0.0, jnp.asarray([5.0]))
        state, pieces = stream.extend(state, 2.0, jnp.asarray([6.0]))
        whole = control(jnp.asarray([0.0, 2.0]), jnp.asarray([[5.0], [6.0]]), kind="rectilinear")
        assert (pieces == whole.coefficients).all()
        ```
    """

    kind: str = eqx.field(static=True)
    count_weight: int | float = eqx.field(static=True)

    def __init__(self, kind: str = "rectilinear", *, count_weight: int | float = 0.0):
        check_kind(kind, "forward", count_weight)
        self.kind = kind
        self.count_weight = count_weight

    def begin(self, time: Array | float, values: Array) -> StreamState:
        """The state behind the first observation; values that are missing (NaN) stand at 0 until they are observed.

        **Raises:** `ModelInputError` for a time that is not finite, where it is known, and for what is no observation.
        """
        _check_observation(time, values)
        counts = self._counts(values, jnp.zeros_like(values))
        start = jnp.concatenate([jnp.asarray(time, values.dtype)[None], jnp.nan_to_num(values, nan=0.0), *counts])
        return StreamState(start, jnp.zeros_like(start), jnp.asarray(True))

    def extend(
        self, state: StreamState, time: Array | float, values: Array
    ) -> tuple[StreamState, Float[Array, "pieces 3 channels"]]:
        """The state behind the next observation, and the pieces of the control that lead to it.

        The last observation, given again with its time, changes nothing.

        **Raises:** `ModelInputError` for a time that does not follow the last one; NaN instead, where it is traced. Also for
        what is no observation, or one of other channels than the first.
        """
        _check_observation(time, values)
        number, known = len(values), len(state.value)
        if known != control_channels(number, self.count_weight):
            wanted = (known - 1) // (2 if self.count_weight else 1)
            raise ModelInputError(f"the stream began with {wanted} values, got {number}. Give NaN for those that are missing.")
        time = jnp.asarray(time, values.dtype)
        step, before, old = time - state.value[0], state.value[1 : 1 + number], state.value[1 + number :]
        filled = jnp.where(jnp.isnan(values), before, values)
        repeated = (step == 0) & (filled == before).all()
        follows = (step > 0) | repeated
        if not isinstance(follows, Tracer) and not follows:
            raise ModelInputError(
                f"observations must arrive in time, got {float(time):g} behind {float(state.value[0]):g}. Sort them, and take "
                "one per time."
            )
        counts = self._counts(jnp.where(repeated, jnp.nan, values), old)
        value = jnp.where(follows, jnp.concatenate([time[None], filled, *counts]), jnp.nan)
        if self.kind == "rectilinear":
            late = state.value.at[0].set(value[0])  # time has passed, values have not changed yet
            pieces = linear_pieces(jnp.stack([state.value, late]), jnp.stack([late, value]))
            return StreamState(value, state.slope, jnp.asarray(False)), pieces
        start, end = state.value[None], value[None]
        if self.kind == "linear":
            return StreamState(value, state.slope, jnp.asarray(False)), linear_pieces(start, end)
        chord = (value - state.value) / jnp.where(step > 0, step, 1)
        slope = jnp.where(state.alone, chord, state.slope)
        pieces = hermite_pieces(start, end, slope[None], step[None])
        return StreamState(value, jnp.where(repeated, state.slope, chord), state.alone & repeated), pieces

    def _counts(self, values: Array, before: Array) -> list[Array]:
        return [before + jnp.where(jnp.isnan(values), 0.0, self.count_weight).astype(values.dtype)] if self.count_weight else []


def _check_observation(time: Any, values: Any) -> None:
    """Raises `ModelInputError` unless this is one time and a floating vector; an integer type would cut the time."""
    if getattr(values, "ndim", None) != 1 or not jnp.issubdtype(values.dtype, jnp.floating):
        found = f"{values.dtype} {values.shape}" if hasattr(values, "dtype") else type(values).__name__
        raise ModelInputError(f"an observation must be a floating vector, (values,), got {found}. Cast it.")
    if jnp.ndim(time) or not (isinstance(time, Tracer) or np.isfinite(time)):
        raise ModelInputError(f"an observation needs one finite time, got {time}.")


def pad_series(
    times: Sequence[Float[np.ndarray | Array, " _"]], values: Sequence[Float[np.ndarray | Array, "_ channels"]]
) -> tuple[Float[Array, "series observations"], Float[Array, "series observations channels"]]:
    """Series of different lengths as arrays: each ends with its last observation repeated, time included, where it is shorter.

    **Arguments:**

    - `times`: of each series.
    - `values`: of each series, NaN where missing.

    **Returns:** times and values with a leading axis over the series, for `jax.vmap` of `control`.

    **Raises:** `ModelInputError` for no series, one without observations, or times that are not as many as observations.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.layers import pad_series

        times, _ = pad_series([jnp.arange(3.0), jnp.arange(2.0)], [jnp.zeros((3, 1)), jnp.ones((2, 1))])
        assert times.tolist() == [[0.0, 1.0, 2.0], [0.0, 1.0, 1.0]]
        ```
    """
    if not len(times) or len(times) != len(values):
        raise ModelInputError(f"pad_series needs times and values of some series, got {len(times)} and {len(values)} of them.")
    for number, (t, v) in enumerate(zip(times, values, strict=True)):
        if len(t) != len(v) or not len(t):
            raise ModelInputError(f"series {number} has {len(t)} times for {len(v)} observations. Give one each, at least one.")
    longest = max(map(len, times))
    repeated = lambda series: np.pad(series, ((0, longest - len(series)), *((0, 0),) * (np.ndim(series) - 1)), mode="edge")
    stacked = lambda many: jnp.asarray(np.stack([repeated(np.asarray(one)) for one in many]))
    return stacked(times), stacked(values)
