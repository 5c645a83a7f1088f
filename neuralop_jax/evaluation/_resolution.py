"""Whether an operator is the same function on other grids than that of its training: a certificate, grid by grid."""

import math
from collections.abc import Sequence
from typing import Annotated, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from neuralop_jax import models
from neuralop_jax._config_values import Bounds, check_value
from neuralop_jax.data import Sample
from neuralop_jax.errors import ConfigError, DataError, NeuralOpError
from neuralop_jax.evaluation._evaluate import Count, Evaluable, check_predicted, first_samples
from neuralop_jax.evaluation._resampling import band_limited, interpolated
from neuralop_jax.grids import Grid, strides_to
from neuralop_jax.kernels import resample
from neuralop_jax.metrics import energy_spectrum, nyquist
from neuralop_jax.models import AbstractOperator, ResolutionClaim

_ROUND_OFF = 200
"""Units of the last place within which values agree to round-off, after the transforms and sums of a network."""
_MOST_WAVES = 32


def certificate_grids(grid: Grid, *, max_points: int = 2**20) -> list[tuple[int, ...]]:
    """The shapes that a certificate tries for a training grid: half to four times the points per axis, odd ones, unequal ones.

    Axes that include both ends have twice the spacings, not twice the points. Shapes of more than `max_points` points are left
    out, and those of fewer than four per axis.

    !!! example

        ```python
        from neuralop_jax.evaluation import certificate_grids
        from neuralop_jax.grids import Grid

        found = certificate_grids(Grid((16, 16), boundary=("periodic", "periodic")))
        assert found == [(8, 8), (11, 11), (16, 16), (17, 17), (32, 16), (32, 32), (64, 64)]
        ```
    """
    scaled = lambda factors: tuple(
        round(f * (n - closed)) + closed for f, n, closed in zip(factors, grid.shape, grid.endpoint, strict=True)
    )
    dims = grid.num_dims
    shapes = {scaled((factor,) * dims) for factor in (0.5, 1, 2, 4)}
    shapes |= {tuple((3 * n // 4 - 1) | 1 for n in grid.shape), tuple((n + 1) | 1 for n in grid.shape)}
    if dims > 1:
        shapes.add(scaled((2, *(1,) * (dims - 1))))
    kept = {shape for shape in shapes if min(shape) >= 4 and math.prod(shape) <= max_points} | {grid.shape}
    return sorted(kept, key=lambda shape: (math.prod(shape), shape))


def certify(
    model: AbstractOperator,
    data: Evaluable | Sample,
    *,
    grid: Grid | None = None,
    trained_on: Sequence[int] | None = None,
    shapes: Sequence[Sequence[int]] | None = None,
    num_samples: int = 16,
    tolerance: float = 0.02,
    batch_size: int = 20,
) -> dict[str, Any]:
    r"""Tests an operator on grids of other sizes: what it claims (`AbstractOperator.resolution`), what it does, what it costs.

    *Commuting test.* Inputs of the data, with so few waves that the coarsest grid resolves them twice over, are computed on every
    grid, and the outputs compared at the same points with those on the finest: resampled before or after, the operator should
    give the same function. The finest grid is compared with the next one whose points it has. An operator that claims to be
    exact is compared by wavenumber (`kernels.resample`), others at the points, between them by polynomials of degree nine.

    *Error.* The data themselves on every grid: at points that they have, else by cubic polynomials, which is said.

    *Spectral tail.* The part of the energy of inputs and outputs on the grid of the data, means left out, beyond the Nyquist
    wavenumber of a coarser grid: what cannot be seen there, whatever the operator.

    **Arguments:**

    - `model`: an operator in physical units whose output is on the grid of its input.
    - `data`, `grid`, `batch_size`: as in `evaluate`; the finest at hand, as nothing is known between its points.
    - `trained_on`: points per axis of the training grid; those of the data if left out.
    - `shapes`: the grids, `certificate_grids` of the training grid if left out.
    - `num_samples`: samples that are read.
    - `tolerance`: the largest relative difference with which outputs agree, where that is not to be exact. *Good values*: a
        part of the error.

    **Returns:** JSON types: `claim` and its `reason`; `training_grid`, `waves` of the inputs per axis, `tolerance`, `round_off`,
    `count` of the samples; `grids`, for each its `grid`, `modes` that it holds, `difference` (mean over the samples) and
    `against` which grid, `error` (relative L2) and whether the data are `interpolated`, `input_tail` and `output_tail`, a
    `verdict` and its `reason`. What could not be measured is `None`. Verdicts on a claim to be exact are `"exact"` and
    `"fails"`, on one to converge `"agrees"` and `"differs"` by more than the tolerance, which a coarse grid may; on grids too
    coarse for what was learned `"modes cut off"`; without a claim `"not claimed"`, without an output `"refused"`.

    **Raises:** `ConfigError` if there is no grid on which the operator can be called, or for an argument out of range;
    `DataError` for data that hold NaN or infinity, or targets on other points than the inputs.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        from neuralop_jax.data import Sample
        from neuralop_jax.evaluation import certify
        from neuralop_jax.grids import Grid
        from neuralop_jax.models import FNO

        linear = {"activation": "identity", "channel_mlp": False, "coordinates": False}
        model = FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=1, **linear, key=jax.random.key(0))
        u = jax.random.normal(jax.random.key(1), (3, 1, 16))
        found = certify(model, Sample({"u": u}, u), grid=Grid((16,), boundary=("periodic",)))
        assert {row["verdict"] for row in found["grids"]} == {"exact"}
        ```
    """
    check_value(Count, num_samples, "num_samples")
    check_value(Count, batch_size, "batch_size")
    check_value(Annotated[float, Bounds(at_least=0.0)], tolerance, "tolerance")
    check_value(Sequence[int] | None, trained_on, "trained_on")
    check_value(Sequence[Any] | None, shapes, "shapes")
    for shape in shapes or ():
        check_value(Sequence[int], shape, "every entry of shapes")
    samples, grid = first_samples(data, num_samples, grid)
    u, target = np.asarray(samples.inputs["u"]), np.asarray(samples.target)
    _check_fields(u, target)
    base = grid.with_shape(tuple(trained_on or grid.shape))
    grids = [grid.with_shape(tuple(shape)) for shape in (shapes or certificate_grids(base))]
    refused = {other.shape: reason for other in grids if (reason := _refusal(model, u, other.shape))}
    usable = [other for other in grids if other.shape not in refused]
    if not usable:
        raise ConfigError(f"certify found no grid for this operator: {next(iter(refused.values()))}. Give shapes that it takes.")
    claim = _claim_on(model, grid)
    waves = [max(1, min(min(sizes) // 4, _MOST_WAVES)) for sizes in zip(*(other.shape for other in (grid, *usable)), strict=True)]
    outputs = {g.shape: _predict(model, band_limited(u, grid, g, waves).astype(u.dtype), batch_size) for g in usable}
    tails = _tails(model, u, grid, batch_size)
    round_off = _ROUND_OFF * float(jnp.finfo(u.dtype).eps)
    rows = []
    for other in grids:
        n_modes = models.modes_and_grid(model, other.shape)[0]
        row: dict[str, Any] = {"grid": list(other.shape)}
        row["modes"] = list(models.clipped_modes(model, other.shape) or n_modes)
        against = None if other.shape in refused else _reference(other, usable)
        row["difference"] = None if against is None else _difference(outputs, other, against, claim)
        row["against"] = None if against is None else list(against.shape)
        row |= _error(model, u, target, grid, other, batch_size) if other.shape not in refused else _UNKNOWN
        row |= {name: _beyond(spectrum, grid, other) for name, spectrum in tails.items()}
        row["verdict"] = _verdict(claim, row, other.shape in refused, row["modes"] != list(n_modes), tolerance, round_off)
        row["reason"] = refused.get(other.shape, claim.reason if row["verdict"] == "not claimed" else "")
        rows.append(row)
    return {
        "claim": claim.kind,
        "reason": claim.reason,
        "training_grid": list(base.shape),
        "waves": waves,
        "tolerance": tolerance,
        "round_off": round_off,
        "count": len(u),
        "grids": rows,
    }


def _check_fields(u: np.ndarray, target: np.ndarray) -> None:
    """Raises `DataError` where the data, not the operator, would be to blame for a verdict."""
    if u.shape[2:] != target.shape[2:]:
        raise DataError(
            f"certify needs targets on the points of the inputs {u.shape[2:]}, got {target.shape[2:]}. Resample the targets."
        )
    for name, fields in (("inputs", u), ("targets", target)):
        good = np.isfinite(fields).all(axis=tuple(range(1, fields.ndim)))
        if not good.all():
            raise DataError(
                f"certify needs finite data, but {np.count_nonzero(~good)} of {len(fields)} {name} hold NaN or infinity, the "
                f"first is sample {np.argmin(good)}. Leave such samples out."
            )


_UNKNOWN: dict[str, Any] = {"error": None, "interpolated": None}


def _claim_on(model: AbstractOperator, grid: Grid) -> ResolutionClaim:
    """The claim, which is about a periodic box with points from its left end: of others, the operator sees another box."""
    if model.resolution.kind == "exact" and any((*grid.endpoint, *grid.centered)):
        reason = "points on both ends, or in centers of cells, with which the box that the operator sees depends on their number"
        return ResolutionClaim("converges", reason)
    return model.resolution


def _refusal(model: AbstractOperator, u: np.ndarray, shape: tuple[int, ...]) -> str | None:
    """Why the operator gives no output on a grid of `shape`; `None` if it does."""
    if reason := models.refused_grid(model, shape):
        return reason
    try:
        found = jax.eval_shape(model.batched, jax.ShapeDtypeStruct((len(u), u.shape[1], *shape), u.dtype)).shape
    except NeuralOpError as error:
        return str(error).removesuffix(".")
    return None if found[2:] == shape else f"the output has {found[2:]} points, not those of the input {shape}"


def _reference(grid: Grid, usable: Sequence[Grid]) -> Grid | None:
    """The finest grid; for that itself the finest of those whose points it has, or if there is none of all others."""
    size = lambda g: math.prod(g.shape)
    finest = max(usable, key=size)
    if grid != finest:
        return finest
    others = [g for g in usable if g != grid]
    return max([g for g in others if strides_to(grid, g.shape)] or others, key=size, default=None)


def _difference(outputs: dict[tuple[int, ...], np.ndarray], grid: Grid, against: Grid, claim: ResolutionClaim) -> float:
    """The mean over the samples of the relative L2 difference on the coarser of two grids."""
    coarse, fine = sorted((grid, against), key=lambda g: math.prod(g.shape))
    if claim.kind == "exact":
        brought = np.asarray(jax.vmap(lambda v: resample(v, coarse.shape))(jnp.asarray(outputs[fine.shape])))
    else:
        brought = interpolated(outputs[fine.shape].astype(np.float64), fine, coarse, points=10, wraps=False)
    return _relative(outputs[coarse.shape], brought)


def _relative(fields: np.ndarray, wanted: np.ndarray) -> float:
    """The mean over the samples of the relative L2 difference, all channels together; infinite if one is not finite."""
    norm = lambda v: np.sqrt(np.sum(np.square(v, dtype=np.float64), axis=tuple(range(1, v.ndim))))
    difference, whole = norm(fields - wanted), norm(wanted)
    found = float(np.mean(difference / np.where(whole > 0, whole, 1)))
    return found if math.isfinite(found) else math.inf


def _error(
    model: AbstractOperator, u: np.ndarray, target: np.ndarray, grid: Grid, other: Grid, batch_size: int
) -> dict[str, Any]:
    """The relative L2 error on the data as they are on another grid."""
    strides = strides_to(grid, other.shape) if not any(grid.centered) or other.shape == grid.shape else None
    if strides is not None:
        cut = (..., *(slice(None, None, stride) for stride in strides))
        u, target = u[cut], target[cut]
    else:
        u, target = (interpolated(v, grid, other, points=4, wraps=True).astype(v.dtype) for v in (u, target))
    prediction = _predict(model, u, batch_size)
    check_predicted(prediction.shape, target.shape)
    return {"error": _relative(prediction, target), "interpolated": strides is None}


def _tails(model: AbstractOperator, u: np.ndarray, grid: Grid, batch_size: int) -> dict[str, np.ndarray | None]:
    """The mean shares of energy by wavenumber of inputs and outputs on the grid of the data, without that of the mean."""
    fields = {"input_tail": u, "output_tail": None if _refusal(model, u, grid.shape) else _predict(model, u, batch_size)}
    return {name: None if v is None else _shares(v, grid) for name, v in fields.items()}


def _shares(fields: np.ndarray, grid: Grid) -> np.ndarray:
    energy = np.asarray(jax.vmap(lambda v: energy_spectrum(v, grid))(jnp.asarray(fields)), np.float64).sum(axis=0)
    energy[:, 0] = 0
    whole = energy.sum(axis=1, keepdims=True)
    return (energy / np.where(whole > 0, whole, 1)).mean(axis=0)


def _beyond(shares: np.ndarray | None, grid: Grid, other: Grid) -> float | None:
    """The share beyond what another grid resolves; `None` if that is more than the data do."""
    if shares is None or nyquist(other) > nyquist(grid):
        return None
    return float(shares[math.floor(nyquist(other)) + 1 :].sum())


def _verdict(claim: ResolutionClaim, row: dict[str, Any], refused: bool, cut: bool, tolerance: float, round_off: float) -> str:
    if refused:
        return "refused"
    if claim.kind == "none" or row["difference"] is None:
        return "not claimed"
    if cut:
        return "modes cut off"
    if claim.kind == "exact":
        return "exact" if row["difference"] <= round_off else "fails"
    return "agrees" if row["difference"] <= tolerance else "differs"


@eqx.filter_jit
def _compiled(model: AbstractOperator, u: jax.Array) -> jax.Array:
    return models.apply_batched(model, u)


def _predict(model: AbstractOperator, u: np.ndarray, batch_size: int) -> np.ndarray:
    parts = [_compiled(model, jnp.asarray(u[start : start + batch_size])) for start in range(0, len(u), batch_size)]
    return np.concatenate([np.asarray(part) for part in parts])
