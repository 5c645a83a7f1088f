"""The errors of an operator over a dataset, on whatever grid that has."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np

from neuralop_jax import metrics
from neuralop_jax.data import HDF5Dataset
from neuralop_jax.models import AbstractOperator, apply_batched

METRICS: dict[str, Callable[..., Any]] = {
    "relative_l2": metrics.relative_l2,
    "relative_h1": metrics.relative_h1,
    "max_error": metrics.max_error,
}


def sample_errors(model: AbstractOperator, dataset: HDF5Dataset, *, batch_size: int = 20) -> dict[str, np.ndarray]:
    """Every metric of every sample, the mean over channels, `(samples,)` in float64.

    The last batch is filled up with its first sample, so that one compilation serves all.
    """
    arrays, static = eqx.partition(model, eqx.is_array)
    whole = dataset.read_all()
    inputs, targets = np.asarray(whole.inputs["u"]), np.asarray(whole.target)

    @jax.jit
    def compare(arrays, u, target):
        prediction = apply_batched(eqx.combine(arrays, static), u)
        return {name: jax.vmap(lambda a, b, f=f: f(a, b, dataset.grid))(prediction, target) for name, f in METRICS.items()}

    size, found = min(batch_size, len(dataset)), []
    for start in range(0, len(dataset), size):
        chosen = np.arange(start, start + size)
        chosen[chosen >= len(dataset)] = start
        values = compare(arrays, inputs[chosen], targets[chosen])
        count = min(size, len(dataset) - start)
        found.append({name: np.asarray(v, np.float64)[:count].mean(axis=1) for name, v in values.items()})
    return {name: np.concatenate([part[name] for part in found]) for name in METRICS}


def evaluate(model: AbstractOperator, dataset: HDF5Dataset, *, batch_size: int = 20) -> dict[str, Any]:
    """Mean errors of an operator in physical units over a split, at the split's resolution.

    **Returns:** JSON types: the mean of each metric (`relative_l2`, `relative_h1`, `max_error`), `spread` with their standard
    deviations over the samples, `count`, and `grid`.
    """
    errors = sample_errors(model, dataset, batch_size=batch_size)
    return {
        **{name: float(np.mean(values)) for name, values in errors.items()},
        "spread": {name: float(np.std(values)) for name, values in errors.items()},
        "count": len(dataset),
        "grid": list(dataset.grid.shape),
    }
