"""Bands around predictions that contain the truth with a chosen probability, by split conformal prediction."""

import math
import numbers
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neuralop_jax._checks import one_of, shown
from neuralop_jax._typing import Field, Fields, OutputField, OutputFields
from neuralop_jax.data import Sample
from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.evaluation._evaluate import Evaluable, batches, check_predicted, length
from neuralop_jax.models import AbstractOperator, Ensemble, apply_batched

_LEAST_SPREAD = 1e-3


class ConformalBands(eqx.Module):
    r"""Bands $\hat u(x) \pm r\,\sigma(x)$ around the predictions of an operator; `conformal_bands` makes them.

    - `model`: the operator.
    - `radius`: $r$, `(channels, 1, ...)` for bands around whole functions, `(channels, *space)` for bands at points.
    - `alpha`: the chance that is left to be outside.
    - `scaled`: whether $\sigma$ is the spread of an ensemble; else it is 1.
    """

    model: AbstractOperator
    radius: Float[Array, "channels *space"]
    alpha: float = eqx.field(static=True)
    scaled: bool = eqx.field(static=True)

    def __call__(self, u: Field) -> tuple[OutputField, OutputField]:
        """The lower and the upper end of the band for one input function."""
        prediction, scale = _predicted(self.model, u[None], self.scaled)
        reach = _reach(self.radius, scale)[0]
        return prediction[0] - reach, prediction[0] + reach


def conformal_bands(
    model: AbstractOperator,
    calibration: Evaluable | Sample,
    *,
    alpha: float = 0.1,
    kind: Literal["function", "pointwise"] = "function",
    joint: bool = False,
    scaled: bool | None = None,
    batch_size: int = 20,
) -> ConformalBands:
    r"""Bands that contain a new target with a probability of at least $1 - \alpha$, whatever the operator and the data.

    The score of a calibration sample is $s_i = \max_x |u_i(x) - \hat u_i(x)|/\sigma_i(x)$, and the radius the
    $\lceil (n + 1)(1 - \alpha)\rceil$-th smallest of $n$ scores. If calibration samples and the new one are exchangeable, such as
    independent draws of one distribution, and none was used in training, its whole target lies in the band
    with a probability between $1 - \alpha$ and, for scores without ties, $1 - \alpha + 1/(n + 1)$. The probability is one over
    draws of both: it is no promise for a given input, nor for inputs of another kind.

    **Arguments:**

    - `model`: an operator, or an `Ensemble`.
    - `calibration`: held-out samples, $n \ge \lceil 1/\alpha\rceil - 1$ of them.
    - `alpha`: $\alpha$, between 0 and 1.
    - `kind`: `"function"` for bands that contain the whole function at once; they can be used on any grid, but the maximum is
        over the points of this one. `"pointwise"` takes a radius at every point of this grid: each point is covered with the
        same probability, all together far less often.
    - `joint`: one radius for all channels, which together are in the bands; they should then have the same unit. Otherwise each
        channel has its own, and is in it with the same probability.
    - `scaled`: whether $\sigma$ is the spread of an ensemble, at least a thousandth of its root mean square over the sample, so
        that bands are wide where members disagree; else it is 1. By default it is for an ensemble of several.
    - `batch_size`: samples that are computed at once.

    **Raises:** `ConfigError` for too few samples, an `alpha` out of range, another `kind`, or `scaled` without an ensemble;
    `DataError` as in `evaluate`. Pointwise bands raise `ModelInputError` on another grid.

    **Source:** Vovk et al. 2005, Algorithmic Learning in a Random World; Lei et al. 2018, arXiv:1604.04173 (split conformal,
    with $\sigma$); Diquigiovanni et al. 2021, arXiv:2102.06746 (bands around functions by the maximum).

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        from neuralop_jax.data import Sample
        from neuralop_jax.evaluation import conformal_bands, coverage
        from neuralop_jax.models import FNO

        model = FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=1, key=jax.random.key(0))
        u, noise = jax.random.normal(jax.random.key(1), (2, 60, 1, 8))
        data = Sample({"u": u}, jax.vmap(model)(u) + noise)
        bands = conformal_bands(model, jax.tree.map(lambda a: a[:40], data), alpha=0.2)
        low, high = bands(u[50])
        assert jnp.allclose(high - low, 2 * bands.radius)
        assert coverage(bands, jax.tree.map(lambda a: a[40:], data))["functions"][0] > 0.5
        ```
    """
    one_of("kind", kind, ("function", "pointwise"), ConfigError)
    scaled = isinstance(model, Ensemble) and model.size > 1 if scaled is None else scaled
    if scaled and not isinstance(model, Ensemble):
        raise ConfigError(f"scaled bands need the spread of an Ensemble, got {type(model).__name__}. Use scaled=False.")
    rank = conformal_rank(length(calibration), alpha)
    scores = np.concatenate([np.asarray(part) for part in _scores(model, calibration, scaled, batch_size)])
    if kind == "function":
        scores = scores.max(axis=tuple(range(2, scores.ndim)), keepdims=True)
    if joint:
        scores = np.broadcast_to(scores.max(axis=1, keepdims=True), scores.shape)
    return ConformalBands(model, jnp.asarray(np.sort(scores, axis=0)[rank - 1]), alpha, scaled)


def conformal_rank(count: int, alpha: float) -> int:
    r"""$\lceil (n + 1)(1 - \alpha)\rceil$: the number, from 1, of the ordered score of $n$ that is the radius of a band.

    **Raises:** `ConfigError` if there are too few scores for one, or `alpha` is out of range.
    """
    if not (isinstance(alpha, numbers.Real) and 0 < alpha < 1):
        raise ConfigError(f"alpha must be between 0 and 1, the chance to be outside of a band, got {shown(alpha)}. Try 0.1.")
    rank = math.ceil((count + 1) * (1 - alpha) - 1e-9)
    if rank > count:
        least = 1 / alpha - 1 - 1e-9
        needed = f"{math.ceil(least)}" if least < 1e9 else f"{least:.3g}"
        raise ConfigError(
            f"{count} calibration samples are too few for bands with alpha={alpha:g}, which take at least {needed}. Hold more "
            "samples out, or raise alpha."
        )
    return rank


def coverage(bands: ConformalBands, data: Evaluable | Sample, *, batch_size: int = 20) -> dict[str, Any]:
    """How often targets lie in their bands, for samples that were used neither in training nor for calibration.

    **Returns:** JSON types: for each channel `functions`, the part of the samples that are inside at all points; `points`, the
    part of all points that are; `width`, the mean width of the bands, in the unit of the channel; and `count`, the samples.
    """
    inside, width = [], []
    for count, u, target in batches(data, batch_size):
        prediction, scale = _apply(bands.model, u, bands.scaled)
        check_predicted(prediction.shape, target.shape)
        reach = np.asarray(_reach(bands.radius, scale))
        inside.append((np.abs(np.asarray(target) - np.asarray(prediction)) <= reach)[:count])
        width.append(np.broadcast_to(2 * reach, target.shape)[:count])
    held, space = np.concatenate(inside), tuple(range(2, inside[0].ndim))
    return {
        "functions": held.all(axis=space).mean(axis=0).tolist(),
        "points": held.mean(axis=(0, *space)).tolist(),
        "width": np.concatenate(width).mean(axis=(0, *space), dtype=np.float64).tolist(),
        "count": len(held),
    }


def _scores(model: AbstractOperator, data: Evaluable | Sample, scaled: bool, batch_size: int) -> Any:
    """The magnitudes of the errors over the scale at every point, batch by batch."""
    for count, u, target in batches(data, batch_size):
        prediction, scale = _apply(model, u, scaled)
        check_predicted(prediction.shape, target.shape)
        yield np.abs(np.asarray(target) - np.asarray(prediction))[:count] / np.asarray(scale)[:count]


def _predicted(model: AbstractOperator, u: Fields, scaled: bool) -> tuple[OutputFields, OutputFields]:
    """Predictions and their scale, which is 1 or the spread of the members, where that is not too small to divide by."""
    if not (scaled and isinstance(model, Ensemble)):
        prediction = apply_batched(model, u)
        return prediction, jnp.ones_like(prediction)
    each = jax.vmap(model.each)(u)
    spread = jnp.std(each, axis=1, ddof=1)
    size = jnp.sqrt(jnp.mean(spread**2, axis=tuple(range(2, spread.ndim)), keepdims=True))
    least = jnp.maximum(_LEAST_SPREAD * size, jnp.finfo(spread.dtype).tiny)
    return jnp.mean(each, axis=1), jnp.maximum(spread, least)


def _reach(radius: Array, scale: Array) -> Array:
    """Half of the width of bands around a batch; `ModelInputError` on a grid that bands at points are not for."""
    known, found = radius.shape[1:], scale.shape[2:]
    if math.prod(known) > 1 and known != found:
        raise ModelInputError(
            f"pointwise bands are for the grid {known} of their calibration, got predictions on {found}. Use that grid, or bands "
            "of kind='function'."
        )
    return radius[None] * scale


_apply = eqx.filter_jit(_predicted)
