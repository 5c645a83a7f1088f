"""Controls: continuous paths through irregular, partly missing observations, along which differential equations are driven."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from neuralop_jax._checks import one_of
from neuralop_jax._result import NONFINITE, SUCCESS, believed
from neuralop_jax.errors import ConfigError, ModelInputError

KINDS = ("hermite", "linear", "rectilinear")
FILLS = ("interpolate", "forward")


class Control(eqx.Module):
    r"""A path $X(s)$ of piecewise cubics in `(channels,)`: the time, the observed values, and their counts if asked for.

    On piece $k$, with $r \in [0, 1]$ the way from one knot to the next, $X = x_k + b r + c r^2 + d r^3$. The parameter $s$ is the
    time, but for rectilinear controls, on which time stands still while values jump: there $s$ counts the pieces.

    **Arguments:** as `control` computes them.

    - `knots`: the parameter at the ends of the pieces, not decreasing: jump points for a controller of step sizes.
    - `values`: $x_k$ at the knots.
    - `coefficients`: $b, c, d$ of every piece.
    - `result`: 0, or the code of input that is no series; then all values are NaN.
    - `per_observation`: pieces from one observation to the next.
    """

    knots: Float[Array, " knots"]
    values: Float[Array, "knots channels"]
    coefficients: Float[Array, "pieces 3 channels"]
    result: Int[Array, ""]
    per_observation: int = eqx.field(static=True, default=1)

    def evaluate(self, s: Float[Array, ""] | float) -> Float[Array, " channels"]:
        """$X(s)$; NaN outside the knots, where `s` is traced.

        **Raises:** `ModelInputError` for a known `s` outside the knots.
        """
        piece, r, _, inside = self._locate(s)
        b, c, d = self.coefficients[piece]
        return jnp.where(inside, self.values[piece] + r * (b + r * (c + r * d)), jnp.nan)

    def derivative(self, s: Float[Array, ""] | float) -> Float[Array, " channels"]:
        r"""$\mathrm dX/\mathrm ds$, at a knot that of the piece behind it; outside the knots as `evaluate`."""
        piece, r, length, inside = self._locate(s)
        return jnp.where(inside, rate(self.coefficients[piece], r) / length, jnp.nan)

    def _locate(self, s: Any) -> tuple[Array, Array, Array, Bool[Array, ""]]:
        s = jnp.asarray(s, self.knots.dtype)
        inside = (s >= self.knots[0]) & (s <= self.knots[-1])
        if not isinstance(inside, Tracer) and not inside:
            raise ModelInputError(
                f"the control covers {float(self.knots[0]):g} to {float(self.knots[-1]):g}, it was asked for {float(s):g}. "
                "Shorten the horizon, or give later observations."
            )
        # Repeated knots at the end belong to no time: the piece is the last one that has a length.
        piece = jnp.clip(jnp.searchsorted(self.knots, s, side="right") - 1, 0, (jnp.diff(self.knots) > 0).sum() - 1)
        length = self.knots[piece + 1] - self.knots[piece]
        return piece, (s - self.knots[piece]) / length, length, inside


def rate(coefficients: Float[Array, "3 channels"], r: Float[Array, ""] | float) -> Float[Array, " channels"]:
    r"""$b + 2 c r + 3 d r^2$, the derivative of a piece by its own $r$."""
    b, c, d = coefficients
    return b + r * (2 * c + 3 * r * d)


def control(
    times: Array,
    values: Array,
    *,
    kind: str = "hermite",
    fill: str | None = None,
    count_weight: int | float = 0.0,
    throw: bool = True,
) -> Control:
    r"""The control $X$ through a series of observations, of which any may be missing (NaN).

    Time is the first channel. With `count_weight` $w$, the last channels are $w$ times the number of observations of each value
    so far, for series in which it says something that a value was observed. A series that is shorter than others ends with its
    last observation repeated, time included: there $\mathrm dX = 0$, and nothing driven by $X$ moves. `pad_series` does that.

    **Arguments:**

    - `times`: `(observations,)`, increasing, but for such repeats.
    - `values`: `(observations, channels)`, NaN where missing.
    - `kind`: the path from one observation to the next. `"hermite"`: a cubic whose slope at an observation is the difference
        quotient with the one before, once continuously differentiable. `"linear"`. `"rectilinear"`: first time passes, then
        values jump, so that $X$ until the next observation says nothing of it.
    - `fill`: what stands for missing values. `"interpolate"`: linear in time between those observed, constant beyond the first
        and the last. `"forward"`: the last one observed, 0 before the first; nothing then depends on later observations, as
        streams need. By default `"forward"` for rectilinear controls, which have no other, `"interpolate"` else.
    - `count_weight`: 0 leaves counts out. *Good values*: one over the usual number of observations.
    - `throw`: raise if traced input proves not to be a series.

    **Returns:** a `Control` of `1 + channels` channels, or with counts `1 + 2 * channels`; under `jax.vmap` each series has its
    own result code.

    **Raises:** `ConfigError` for an unknown option; `ModelInputError` for other shapes or types, fewer than two observations,
    times that do not increase or are not finite, infinite values, a channel without any observation. Where these are traced, a
    run-time error if `throw`, else NaN and the result code.

    **Source:** Kidger et al. 2020, arXiv:2005.08926, section 3; Morrill et al. 2021, arXiv:2106.11028, sections 3.1 to 3.3.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.layers import control

        times, values = jnp.asarray([0.0, 1.0, 3.0]), jnp.asarray([[0.0], [jnp.nan], [6.0]])
        assert control(times, values, kind="linear").evaluate(1.0).tolist() == [1.0, 2.0]
        ```
    """
    fill = check_kind(kind, fill, count_weight)
    times, values = jnp.asarray(times), jnp.asarray(values)
    _check_shapes(times, values)
    bad = _faults(times, values)
    if not isinstance(bad, Tracer):
        _raise_for(np.asarray(bad), np.asarray(times), np.asarray(values))
    result = jnp.where(bad.any(), NONFINITE, SUCCESS)
    times = believed(times, result) if throw else times
    moves = jnp.diff(times, prepend=times[:1] - 1) > 0
    path = _filled(times, values, moves, fill)
    counts = jnp.cumsum(jnp.where(moves[:, None], ~jnp.isnan(values), False), axis=0) * count_weight
    path = jnp.concatenate([times[:, None], path, *([counts.astype(path.dtype)] if count_weight else [])], axis=1)
    path = jnp.where(result == SUCCESS, path, jnp.nan)
    if kind == "rectilinear":
        late = jnp.concatenate([path[1:, :1], path[:-1, 1:]], axis=1)  # time has passed, values have not changed yet
        knots = jnp.arange(2 * len(times) - 1, dtype=times.dtype)
        path = jnp.concatenate([path[:1], jnp.stack([late, path[1:]], axis=1).reshape(-1, path.shape[1])])
        return Control(knots, path, linear_pieces(path[:-1], path[1:]), result, 2)
    if kind == "linear":
        return Control(times, path, linear_pieces(path[:-1], path[1:]), result)
    lengths = jnp.diff(times)
    slopes = jnp.diff(path, axis=0) / jnp.where(lengths > 0, lengths, 1)[:, None]
    before = jnp.concatenate([slopes[:1], slopes[:-1]])
    return Control(times, path, hermite_pieces(path[:-1], path[1:], before, lengths), result)


def linear_pieces(
    start: Float[Array, "pieces channels"], end: Float[Array, "pieces channels"]
) -> Float[Array, "pieces 3 channels"]:
    """The coefficients of straight pieces."""
    step = end - start
    return jnp.stack([step, jnp.zeros_like(step), jnp.zeros_like(step)], axis=1)


def hermite_pieces(
    start: Float[Array, "pieces channels"],
    end: Float[Array, "pieces channels"],
    slope: Float[Array, "pieces channels"],
    lengths: Float[Array, " pieces"],
) -> Float[Array, "pieces 3 channels"]:
    """The coefficients of cubics that start with `slope` and end with the slope of their chord; pieces of no length rest."""
    step, length = end - start, lengths[:, None]
    first = jnp.where(length > 0, slope * length, 0)
    return jnp.stack([first, 2 * (step - first), first - step], axis=1)


def check_kind(kind: str, fill: str | None, count_weight: int | float) -> str:
    """The `fill` that stands for `None`; `ConfigError` for options that do not fit each other."""
    one_of("kind", kind, KINDS, ConfigError)
    one_of("fill", fill, (*FILLS, None), ConfigError)
    if kind == "rectilinear" and fill == "interpolate":
        raise ConfigError(
            "a rectilinear control knows no later observation to interpolate to, got fill 'interpolate'. Leave it out."
        )
    if not 0 <= count_weight < float("inf"):
        raise ConfigError(f"count_weight must be a finite number of at least 0, got {count_weight!r}.")
    return fill or ("forward" if kind == "rectilinear" else "interpolate")


def control_channels(values: int, count_weight: int | float) -> int:
    """The channels of a control through that many `values`: time, values, and their counts unless their weight is 0.

    !!! example

        ```python
        from neuralop_jax.layers import control_channels

        assert control_channels(3, 0) == 1 + 3 and control_channels(3, 1.0) == 1 + 3 + 3
        ```
    """
    return 1 + values * (2 if count_weight else 1)


def _check_shapes(times: Array, values: Array) -> None:
    if times.ndim != 1 or values.ndim != 2:
        raise ModelInputError(
            f"a control takes times (observations,) and values (observations, channels), got {times.shape} and {values.shape}. "
            "Use jax.vmap for several series, values[:, None] for one channel."
        )
    for name, part in (("times", times), ("values", values)):
        if not jnp.issubdtype(part.dtype, jnp.floating):
            raise ModelInputError(f"{name} of a control must be real floating numbers, got {part.dtype}. Cast them.")
    if len(times) != len(values):
        raise ModelInputError(f"a series needs one time for each observation, got {len(times)} times for {len(values)}.")
    if len(times) < 2:
        raise ModelInputError(f"a control needs at least two observations, got {len(times)}. Leave out such series.")
    if values.shape[1] == 0:
        raise ModelInputError(f"a control needs at least one channel of values, got shape {values.shape}.")


def _faults(times: Array, values: Array) -> Bool[Array, " faults"]:
    """Whether times are not finite, decrease, or repeat with other values or without end; values are infinite, or all missing."""
    step, last = jnp.diff(times), times[1:] == times[-1]
    same = ((values[1:] == values[:-1]) | (jnp.isnan(values[1:]) & jnp.isnan(values[:-1]))).all(axis=1)
    return jnp.stack(
        [
            ~jnp.isfinite(times).all(),
            ~(jnp.where(last & same, step >= 0, step > 0)).all(),
            times[-1] <= times[0],
            jnp.isinf(values).any(),
            jnp.isnan(values).all(axis=0).any(),
        ]
    )


def _raise_for(faults: np.ndarray, times: np.ndarray, values: np.ndarray) -> None:
    """Raises `ModelInputError` for the first fault."""
    if faults[0]:
        at = int(np.argmin(np.isfinite(times)))
        raise ModelInputError(f"times must be finite, got {times[at]} at observation {at}. Values may be missing, times may not.")
    if faults[2] and not (np.diff(times) < 0).any():
        raise ModelInputError(f"a control needs two observations at different times, got {times[0]:g} to {times[-1]:g}.")
    if faults[1]:
        at = int(np.argmax((np.diff(times) < 0) | ((np.diff(times) == 0) & (times[1:] < times[-1])))) + 1
        at = at if times[at] <= times[at - 1] else int(np.argmax(times == times[-1])) + 1
        raise ModelInputError(
            f"times must increase, got {times[at]:g} behind {times[at - 1]:g} at observation {at}. Sort them, and take one "
            "observation per time; only the last one may be repeated, unchanged, to fill a series up."
        )
    if faults[3]:
        raise ModelInputError("values must be finite or missing (NaN), got infinity. Clip them, or mark them as missing.")
    if faults[4]:
        channel = int(np.argmax(np.isnan(values).all(axis=0)))
        raise ModelInputError(f"channel {channel} has no observation in the whole series. Leave it out, or give it one.")


def _filled(times: Array, values: Array, moves: Array, fill: str) -> Float[Array, "observations channels"]:
    """The values with those that are missing filled in."""
    known, index = ~jnp.isnan(values), jnp.arange(len(times))[:, None]
    before = jax.lax.cummax(jnp.where(known, index, -1), axis=0)
    take = lambda at: jnp.take_along_axis(values, at, axis=0)
    if fill == "forward":
        return jnp.where(before >= 0, take(jnp.maximum(before, 0)), 0)
    # A repeat of the end is no second observation of it.
    after = jax.lax.cummin(jnp.where(known & moves[:, None], index, len(times)), axis=0, reverse=True)
    left = jnp.where(before >= 0, before, jnp.minimum(after, len(times) - 1))
    right = jnp.where(after < len(times), after, left)
    span = times[right] - times[left]
    part = (times[:, None] - times[left]) / jnp.where(span > 0, span, 1)
    between = take(left) + part * (take(right) - take(left))
    return jnp.where(known, values, jnp.where(span > 0, between, take(left)))
