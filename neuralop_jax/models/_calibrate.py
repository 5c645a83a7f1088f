"""The population statistics of batch norms, measured on training batches once the weights are trained."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from neuralop_jax._typing import Fields
from neuralop_jax.errors import DataError
from neuralop_jax.layers._norm import BatchNorm
from neuralop_jax.models._base import AbstractOperator

Operator = TypeVar("Operator", bound=AbstractOperator)


def has_batch_norm(model: Any) -> bool:
    """Whether a batch norm is anywhere in a model: it must then be calibrated, and its batches not be divided.

    !!! example

        ```python
        from neuralop_jax.layers import BatchNorm, InstanceNorm
        from neuralop_jax.models import has_batch_norm

        assert has_batch_norm(BatchNorm(2)) and not has_batch_norm(InstanceNorm())
        ```
    """
    return any(isinstance(layer, BatchNorm) for layer in jax.tree.leaves(model, is_leaf=lambda m: isinstance(m, BatchNorm)))


def calibrate(model: Operator, batches: Iterable[Fields | Mapping[str, Array]]) -> Operator:
    r"""The model with the population statistics of its batch norms measured: the mean over batches of their statistics.

    Every batch is computed as in training, with the statistics of the batch itself. The mean and the unbiased variance of each
    channel in each layer, as PyTorch follows them, are averaged over the batches. A model without batch norm comes back as it
    is, and nothing is read.

    **Arguments:**

    - `model`: an operator whose weights are trained.
    - `batches`: inputs `(batch, in_channels, *space)` in the units of the model, of one shape, or the arguments of `batched` by
      name, `{"u": ..., "x": ...}`. *Good values:* ten batches and more, of the size of those in training, drawn at random.

    **Raises:** `DataError` if there is no batch.

    !!! example

        ```python
        import jax
        from neuralop_jax.models import LSM, calibrate

        model = LSM(in_channels=1, out_channels=1, num_dims=1, width=8, num_scales=2, norm="batch", key=jax.random.key(0))
        u = jax.random.normal(jax.random.key(1), (4, 1, 16))
        calibrated = calibrate(model, [u[:2], u[2:]])
        assert calibrated.network.down[0].norms[0].variance.value[0] != 1
        ```
    """
    if not has_batch_norm(model):
        return model
    buffers, rest = eqx.partition(model, _statistics(model))
    total, count = None, 0
    for batch in batches:
        measured = _measure(buffers, rest, dict(batch) if isinstance(batch, Mapping) else {"u": batch})
        total = measured if total is None else jax.tree.map(jnp.add, total, measured)
        count += 1
    if total is None:
        raise DataError("calibrate needs at least one batch to measure the statistics of batch norms on, got none.")
    return eqx.combine(jax.tree.map(lambda sums: sums / count, total), rest)


@eqx.filter_jit
def _measure(buffers: Any, rest: Any, batch: dict[str, Array]) -> Any:
    """The statistics of a batch, which batch norms give as derivatives by their buffers."""
    keys = jax.random.split(jax.random.key(0), len(batch["u"]))
    return jax.grad(lambda b: jnp.sum(eqx.combine(b, rest).batched(**batch, key=keys)))(buffers)


def _statistics(model: Any) -> Any:
    """A filter that is true on the buffers of batch norms."""
    is_norm = lambda m: isinstance(m, BatchNorm)  # noqa: E731
    mark = lambda m: eqx.tree_at(lambda n: (n.mean.value, n.variance.value), jax.tree.map(lambda _: False, m), (True, True))  # noqa: E731
    return jax.tree.map(lambda m: mark(m) if is_norm(m) else False, model, is_leaf=is_norm)
