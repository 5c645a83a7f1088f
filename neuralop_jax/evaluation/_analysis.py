"""What one error does not tell: at which wavenumbers it lies, and how long a predicted trajectory follows its target."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from neuralop_jax import metrics
from neuralop_jax.data import Sample
from neuralop_jax.evaluation._evaluate import Evaluable, batches, check_predicted, first_samples
from neuralop_jax.grids import Grid
from neuralop_jax.models import AbstractOperator, apply_batched


def analyze(
    model: AbstractOperator,
    data: Evaluable | Sample,
    *,
    grid: Grid | None = None,
    times: Sequence[float] = (),
    edges: Sequence[int] = (5, 13),
    batch_size: int = 20,
) -> dict[str, Any]:
    r"""The errors of an operator by wavenumber and, where the target is a trajectory, in time.

    **Arguments:**

    - `model`, `data`, `grid`, `batch_size`: as in `evaluate`.
    - `times`: those of the frames that are stacked along the channels of the target, oldest first, counted from the input; with
        fewer than two, nothing is said of time.
    - `edges`: of the bands, as in `metrics.band_error`.

    **Returns:** JSON types.

    - `bands`: their `edges` and `relative_l2`, the mean of `metrics.band_error` over the samples, all channels together.
    - `spectra`: energy by wavenumber of `target`, `prediction` and `error` as shares of the energy of the target, the means over
        samples and channels.
    - `rollout`, of trajectories: the `times`; of each frame the means of `relative_l2`, `correlation`, `mass_error` and
        `energy_error` (the largest of the channels); where a frame has as many channels as there are axes, those of
        `metrics.relative_divergence` of prediction and target; the means of `correlation_time` and `valid_prediction_time`.

    Samples with a value that is not finite are in no mean of theirs.

    !!! example

        ```python
        import equinox as eqx
        import jax
        from neuralop_jax.data import Sample
        from neuralop_jax.evaluation import analyze
        from neuralop_jax.models import FNO

        model = FNO(in_channels=1, out_channels=2, n_modes=(4,), width=4, depth=1, key=jax.random.key(0))
        u = jax.random.normal(jax.random.key(1), (3, 1, 16))
        found = analyze(model, Sample({"u": u}, eqx.filter_jit(model.batched)(u)), times=(0.5, 1.0))
        assert abs(found["rollout"]["correlation_time"] - 1.0) < 1e-6 and max(found["bands"]["relative_l2"]) < 1e-5
        ```
    """
    grid = first_samples(data, 1, grid)[1]
    edges, times = tuple(edges), tuple(float(t) for t in times)
    found: dict[str, list[np.ndarray]] = {}
    for count, u, target in batches(data, batch_size):
        for name, values in _measure(model, u, target, grid, times, edges).items():
            found.setdefault(name, []).append(np.asarray(values, np.float64)[:count])
    values = {name: np.concatenate(parts) for name, parts in found.items()}
    means = {name: _mean(part) for name, part in values.items() if not name.startswith("spectrum ")}
    rollout = {"times": list(times), **means}
    bands = {"edges": list(edges), "relative_l2": rollout.pop("bands")}
    return {"bands": bands, "spectra": _shares(values), **({"rollout": rollout} if len(times) > 1 else {})}


@eqx.filter_jit
def _measure(
    model: AbstractOperator, u: jax.Array, target: jax.Array, grid: Grid, times: tuple[float, ...], edges: tuple[int, ...]
) -> dict[str, jax.Array]:
    """Everything that is measured of each sample of a batch."""
    prediction = apply_batched(model, u)
    check_predicted(prediction.shape, target.shape)
    fields = {"target": target, "prediction": prediction, "error": prediction - target}
    found = {f"spectrum {name}": jax.vmap(lambda v: metrics.energy_spectrum(v, grid))(v) for name, v in fields.items()}
    found["bands"] = jax.vmap(lambda a, b: metrics.band_error(a, b, grid, edges=edges, joint=True)[0])(prediction, target)
    if len(times) > 1:
        found |= jax.vmap(lambda a, b: _in_time(a, b, grid, times))(*(_frames(v, len(times)) for v in (prediction, target)))
    return found


def _in_time(prediction: jax.Array, target: jax.Array, grid: Grid, times: tuple[float, ...]) -> dict[str, jax.Array]:
    """What is measured of one trajectory, `(frames, channels, *space)`."""
    moments = jnp.asarray(times, target.dtype)
    each = lambda f: jax.vmap(lambda a, b: jnp.max(f(a, b, grid)))(prediction, target)
    together = lambda f: jax.vmap(lambda a, b: f(a, b, grid, joint=True)[0])(prediction, target)
    found = {
        "relative_l2": together(metrics.relative_l2),
        "correlation": together(metrics.correlation),
        "mass_error": each(metrics.mass_error),
        "energy_error": each(metrics.energy_error),
        "correlation_time": metrics.correlation_time(prediction, target, moments),
        "valid_prediction_time": metrics.valid_prediction_time(prediction, target, moments),
    }
    if prediction.shape[1] == grid.num_dims > 1:
        flow = jax.vmap(lambda v: metrics.relative_divergence(v, grid))
        found |= {"divergence": flow(prediction), "divergence_of_target": flow(target)}
    return found


def _frames(stacked: jax.Array, count: int) -> jax.Array:
    return stacked.reshape(len(stacked), count, -1, *stacked.shape[2:])


def _mean(values: np.ndarray) -> Any:
    """The mean over the samples that are finite."""
    good = np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    return np.mean(values[good], axis=0).tolist() if good.any() else np.full(values.shape[1:], np.inf).tolist()


def _shares(values: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """The spectra of all samples together, each channel as a share of the energy of its target, and their mean."""
    good = np.all([np.isfinite(values[f"spectrum {name}"]).all(axis=(1, 2)) for name in ("target", "prediction")], axis=0)
    total = {name: values[f"spectrum {name}"][good].sum(axis=0) for name in ("target", "prediction", "error")}
    energy = total["target"].sum(axis=-1, keepdims=True)
    return {name: (part / np.where(energy > 0, energy, 1)).mean(axis=0).tolist() for name, part in total.items()}
