"""The errors of an operator over a dataset, on whatever grid that has."""

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from neuralop_jax import metrics
from neuralop_jax._config_values import Bounds, check_value
from neuralop_jax.data import Sample
from neuralop_jax.errors import ConfigError, DataError
from neuralop_jax.evaluation._confidence import bootstrap_intervals
from neuralop_jax.grids import Grid
from neuralop_jax.models import AbstractOperator, apply_counted

Count = Annotated[int, Bounds(at_least=1.0)]
"""An argument that is a number of samples, one at least."""

METRICS: dict[str, Callable[..., Any]] = {
    "relative_l2": metrics.relative_l2,
    "relative_h1": metrics.relative_h1,
    "normalized_rmse": metrics.normalized_rmse,
    "max_error": metrics.max_error,
}
"""The metrics of every evaluation."""


@runtime_checkable
class Evaluable(Protocol):
    """What an evaluation needs of a dataset: its grid, its length, and single samples in physical units."""

    @property
    def grid(self) -> Grid: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Sample: ...


def sample_errors(
    model: AbstractOperator, data: Evaluable | Sample, *, grid: Grid | None = None, batch_size: int = 20
) -> dict[str, np.ndarray]:
    """The errors of every sample of a dataset, all channels together.

    **Arguments:** as in `evaluate`.

    **Returns:** for each of `METRICS` an array `(samples,)` in float64.
    """
    measured = _measure(model, data, grid, batch_size)
    return {name: measured[name][0] for name in METRICS}


def evaluate(
    model: AbstractOperator, data: Evaluable | Sample, *, grid: Grid | None = None, batch_size: int = 20
) -> dict[str, Any]:
    r"""The mean errors of an operator over a dataset, in physical units and at the resolution of the dataset.

    A norm of a sample is taken over all its channels together, as in the losses of the same names, and then averaged over the
    samples in float64. One program is compiled for each operator and grid, however many samples there are and however often
    they are evaluated.

    **Arguments:**

    - `model`: an operator in physical units, for instance `checkpoint.load(run)`.
    - `data`: a dataset such as `data.HDF5Dataset`, of which one batch at a time is read; or arrays as one `data.Sample`, each
        with a leading axis over the samples.
    - `grid`: the grid of `data` given as arrays; without one the unit box, not periodic. A dataset has its own.
    - `batch_size`: samples that are computed at once.

    **Returns:** JSON types: the mean of `relative_l2`, `relative_h1`, `normalized_rmse` and `max_error`; `spread`, the standard
    deviation of each over the samples; `interval`, the 95 % confidence interval of each mean (`bootstrap_intervals`), where there
    are two samples; `channels`, the mean of each for every channel alone, where there are several;
    `accuracy`, where the targets are classes (`metrics.accuracy`); `num_evaluations`, a mean too, where the operator solves a
    differential equation, in the same solves (`models.apply_counted`); `count`, the number of samples; `grid`, the points per
    axis. Samples with an error that is not finite are in no mean: their number is `diverged`, which is there only if it is not
    zero. If all are, the means are infinite.

    **Raises:** `DataError` for data that are neither a dataset nor a `Sample`, hold no sample, or not one target for each input,
    of the shape that the operator gives; `ConfigError` for a `batch_size` that is not at least 1, or a `grid` with other points
    than the targets.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        from neuralop_jax.data import Sample
        from neuralop_jax.evaluation import evaluate
        from neuralop_jax.models import FNO

        model = FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=1, key=jax.random.key(0))
        u = jnp.ones((3, 1, 16))
        errors = evaluate(model, Sample({"u": u}, jax.vmap(model)(u)))
        assert errors["relative_l2"] < 1e-5 and errors["count"] == 3
        ```
    """
    measured = _measure(model, data, grid, batch_size)
    accuracy = float(np.mean(measured.pop("accuracy")[0]))
    cost = measured.pop("num_evaluations", None)
    good = np.all([np.isfinite(joint) for joint, _ in measured.values()], axis=0)
    lost = len(good) - int(good.sum())
    if lost == len(good):
        good, measured = ~good, {name: (np.full_like(a, np.inf), np.full_like(b, np.inf)) for name, (a, b) in measured.items()}
    measured = {name: (joint[good], each[good]) for name, (joint, each) in measured.items()}
    errors = {name: joint for name, (joint, _) in measured.items()}
    interval = bootstrap_intervals(errors) if lost < len(good) - 1 else {}
    channels = {name: each.mean(axis=0).tolist() for name, (_, each) in measured.items() if each.shape[1] > 1}
    return {
        **{name: float(np.mean(joint)) for name, joint in errors.items()},
        "spread": {name: 0.0 if lost == len(good) else float(np.std(joint)) for name, joint in errors.items()},
        **({"interval": {name: list(ends) for name, ends in interval.items()}} if interval else {}),
        **({"channels": channels} if channels else {}),
        **({} if np.isnan(accuracy) else {"accuracy": accuracy}),
        **({} if cost is None else {"num_evaluations": float(np.mean(cost[0]))}),
        **({"diverged": lost} if lost else {}),
        "count": length(data),
        "grid": list(data.target.shape[2:] if isinstance(data, Sample) else data.grid.shape),
    }


def first_samples(data: Evaluable | Sample, count: int, grid: Grid | None = None) -> tuple[Sample, Grid]:
    """The first samples of a dataset as arrays, and their grid; of arrays without one the unit box, not periodic."""
    grid = _grid_of(data, grid)
    u, target = _take(data, range(min(count, length(data))))
    return Sample({"u": u}, target), grid or Grid(u.shape[2:], endpoint=(False,) * (u.ndim - 2))


def _grid_of(data: Evaluable | Sample, grid: Grid | None) -> Grid | None:
    """The grid of a dataset; of arrays what is given, which must have the points of their targets."""
    length(data)  # refuses what is neither
    if not isinstance(data, Sample):
        return data.grid
    if grid is not None and grid.shape != (found := tuple(data.target.shape[2:])):
        raise ConfigError(f"grid has shape {grid.shape}, but the targets have {found}. Give the grid of the data.")
    return grid


def _measure(
    model: AbstractOperator, data: Evaluable | Sample, grid: Grid | None, batch_size: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Of each metric, the accuracy and the cost, if any, the values of the samples, `(samples,)`, and of their channels."""
    grid = _grid_of(data, grid)
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for count, inputs, targets in batches(data, batch_size):
        for name, (joint, each) in _compare(model, inputs, targets, grid).items():
            found.setdefault(name, []).append((np.asarray(joint, np.float64)[:count, 0], np.asarray(each, np.float64)[:count]))
    joined = {name: list(zip(*parts, strict=True)) for name, parts in found.items()}
    return {name: (np.concatenate(joint), np.concatenate(each)) for name, (joint, each) in joined.items()}


@eqx.filter_jit
def _compare(model: AbstractOperator, u: jax.Array, target: jax.Array, grid: Grid | None) -> dict[str, Any]:
    """Every metric of a batch: of all channels together, `(batch, 1)`, and of each, `(batch, channels)`."""
    prediction, cost = apply_counted(model, u)
    check_predicted(prediction.shape, target.shape)
    apply = lambda f, joint: jax.vmap(lambda a, b: f(a, b, grid, joint=joint))(prediction, target)
    right = jax.vmap(metrics.accuracy)(prediction, target)
    once = {"accuracy": right, **({} if cost is None else {"num_evaluations": cost})}
    measured = {name: (apply(f, True), apply(f, False)) for name, f in METRICS.items()}
    return measured | {name: (number[:, None],) * 2 for name, number in once.items()}


def batches(data: Evaluable | Sample, batch_size: int) -> Iterator[tuple[int, jax.Array, jax.Array]]:
    """Batches of equal size with the number of samples that count; the last one is filled up with its first sample."""
    check_value(Count, batch_size, "batch_size")
    size = min(batch_size, length(data))
    for start in range(0, length(data), size):
        indices = list(range(start, min(start + size, length(data))))
        u, target = _take(data, indices + [start] * (size - len(indices)))
        yield len(indices), jnp.asarray(u), jnp.asarray(target)


def check_predicted(prediction: Sequence[int], target: Sequence[int]) -> None:
    """Raises `DataError` unless batches have one shape: of an axis of length one, every difference would repeat the entry."""
    if tuple(prediction) != tuple(target):
        raise DataError(
            f"the operator gives {tuple(prediction[1:])} for a sample, but targets are {tuple(target[1:])}. Give the fields that "
            "it was trained to predict."
        )


def _take(data: Evaluable | Sample, indices: Sequence[int]) -> tuple[Any, Any]:
    if isinstance(data, Sample):
        return np.asarray(data.inputs["u"])[np.asarray(indices)], np.asarray(data.target)[np.asarray(indices)]
    samples = {index: data[index] for index in set(indices)}
    inputs = np.stack([np.asarray(samples[index].inputs["u"]) for index in indices])
    return inputs, np.stack([np.asarray(samples[index].target) for index in indices])


def length(data: Evaluable | Sample) -> int:
    """The number of samples; `DataError` unless there is one at least, with as many targets as inputs."""
    if not isinstance(data, Sample | Evaluable):
        raise DataError(
            f"the data must be a dataset, or arrays as one Sample, got {type(data).__name__}. Use data.Sample({{'u': u}}, "
            "target)."
        )
    count = len(data.target) if isinstance(data, Sample) else len(data)
    if isinstance(data, Sample) and len(data.inputs["u"]) != count:
        raise DataError(
            f"the Sample holds {len(data.inputs['u'])} inputs and {count} targets, which must be as many. Give each input its "
            "target."
        )
    if count == 0:
        raise DataError("the data hold no sample, and at least one is needed. Check how they are split.")
    return count
