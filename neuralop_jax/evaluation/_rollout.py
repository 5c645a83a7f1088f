"""The errors of a rollout, step by step, without the samples that have blown up."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Inexact

from neuralop_jax import metrics
from neuralop_jax._typing import Fields
from neuralop_jax.rollout import rollout


def evaluate_rollout(
    step: Callable[[Array], Array],
    u0: Fields,
    targets: Inexact[Array, "batch time channels *space"],
    *,
    stop_at: float = float("inf"),
) -> dict[str, Any]:
    r"""The relative L2 errors of the states that `step` leads to, as means over the samples that have not diverged.

    **Arguments:**

    - `step`: one step of one sample, which keeps shape and type.
    - `u0`: the states at the start.
    - `targets`: the states that follow.
    - `stop_at`: as in `rollout`: a state that is larger, or not finite, ends the rollout of its sample.

    **Returns:** JSON types: `relative_l2`, the mean error of every step, `None` where no sample is left; `count`, the samples;
    `left`, those in the mean of every step; `diverged`, the number of samples that did; `first_bad_step`, the earliest step at
    which one did, `None` if none did; `summary`, the same in words.

    !!! example

        ```python
        import jax.numpy as jnp

        from neuralop_jax.evaluation import evaluate_rollout

        u0 = jnp.asarray([1.0, 300.0]).reshape(2, 1, 1)
        found = evaluate_rollout(lambda u: 2 * u, u0, jnp.ones((2, 3, 1, 1)), stop_at=1e3)
        assert found["summary"] == "diverged at step 2 in 1 of 2 samples"
        assert found["relative_l2"][1:] == [3.0, 7.0]
        ```
    """
    num_steps = targets.shape[1]
    stopped = jax.vmap(lambda u: rollout(step, u, num_steps, include_init=False, stop_at=stop_at))(u0)
    errors = jax.vmap(jax.vmap(lambda v, target: metrics.relative_l2(v, target, joint=True)[0]))(stopped.values, targets)
    bad = np.asarray(stopped.bad_step)
    alive = (bad[:, None] == 0) | (np.arange(1, num_steps + 1) < bad[:, None])
    left, total = alive.sum(axis=0), np.where(alive, np.asarray(errors, np.float64), 0.0).sum(axis=0)
    diverged = int((bad > 0).sum())
    first = int(bad[bad > 0].min()) if diverged else None
    return {
        "relative_l2": [float(t / n) if n else None for t, n in zip(total, left, strict=True)],
        "count": len(bad),
        "left": left.tolist(),
        "diverged": diverged,
        "first_bad_step": first,
        "summary": f"diverged at step {first} in {diverged} of {len(bad)} samples" if diverged else "no sample diverged",
    }
