"""Many samples at once, in portions that fit the cache."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from neuralop_jax._typing import Fields, OutputFields
from neuralop_jax.models._base import AbstractOperator, sensors_of

_LEAST_CACHE = 2**20


def automatic_micro_batch(model: AbstractOperator, shape: tuple[int, ...], batch_size: int, *, members: int = 1) -> int:
    """How many samples to compute at once: on CPU so many that one hidden field of all stays in cache, elsewhere all.

    The largest divisor of `batch_size` for which `width * points` numbers per sample fit the second-level cache of one core
    (taken as 1 to 2 MiB), or two samples: for a single one XLA chooses layouts with which the gradient of attention takes twice
    as long. An operator with fixed sensors has no hidden field, and evaluates its basis functions once for all samples: it takes
    the whole batch. Where several operators of this kind are computed together, the fields of all `members` count.

    !!! example

        ```python
        import jax
        from neuralop_jax.models import FNO, automatic_micro_batch

        model = FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=1, key=jax.random.key(0))
        assert automatic_micro_batch(model, (2**15,), 20) in (2, 4, 20)  # 512 KiB a sample on CPU; elsewhere all
        ```
    """
    if jax.default_backend() != "cpu" or sensors_of(model) is not None:
        return batch_size
    alone = jax.process_count() == 1  # processes of different machines must compute the same program
    most = _cache_bytes() if alone else _LEAST_CACHE
    return largest_divisor(batch_size, max(2, most // (4 * members * model.width * int(np.prod(shape)))))


@functools.cache
def _cache_bytes() -> int:
    """Within a factor of two the choice hardly matters, so no machine is believed further than that."""
    try:
        size = Path("/sys/devices/system/cpu/cpu0/cache/index2/size").read_text()  # such as 2048K
        found = 1024 * int(size.strip().removesuffix("K"))
    except (OSError, ValueError):  # other systems than Linux, machines that do not tell
        found = 0
    return min(max(found, _LEAST_CACHE), 2 * _LEAST_CACHE)


def largest_divisor(batch_size: int, at_most: int) -> int:
    """The largest divisor of `batch_size` that is at most `at_most`, and at least 1."""
    return max(d for d in range(1, batch_size + 1) if batch_size % d == 0 and (d <= at_most or d == 1))


def apply_batched(model: AbstractOperator, u: Fields, *, micro_batch: int = 0) -> OutputFields:
    """`model.batched(u)`, computed in portions of `micro_batch` samples (0 chooses; see `automatic_micro_batch`).

    Jit the call. On CPU, portions whose arrays stay in cache are faster than one large batch.

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from neuralop_jax.models import FNO, apply_batched

        model = FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=1, key=jax.random.key(0))
        u = jax.random.normal(jax.random.key(1), (6, 1, 16))
        assert jnp.allclose(jax.jit(apply_batched)(model, u), model.batched(u), atol=1e-6)
        ```
    """
    model.check(u, None, None, None, batched=True)
    portion = largest_divisor(len(u), micro_batch) if micro_batch else automatic_micro_batch(model, u.shape[2:], len(u))
    if portion == len(u):
        return model.batched(u)
    outputs = jax.lax.map(model.batched, u.reshape(-1, portion, *u.shape[1:]))
    return jnp.reshape(outputs, (len(u), *outputs.shape[2:]))
