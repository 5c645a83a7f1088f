"""For how long a predicted trajectory follows its target."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from neuralop_jax._typing import RealField, Trajectory
from neuralop_jax.grids import Grid
from neuralop_jax.metrics._spectrum import require_whole


def correlation(
    prediction: RealField, target: RealField, grid: Grid | None = None, *, joint: bool = False
) -> Float[Array, " values"]:
    r"""$\langle\tilde u', u'\rangle / \lVert\tilde u'\rVert\,\lVert u'\rVert$ of fields without their means over the points.

    It is 1 for the target up to a positive factor and a constant, 0 for a field that has nothing to do with it.

    **Arguments:** as in `relative_l2`; with `joint` the products of all channels, each without its own mean, are added up.

    **Returns:** `(channels,)`, or `(1,)` if `joint`. Zero where one of both is constant.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.metrics import correlation

        x = 2 * jnp.pi * jnp.arange(32) / 32
        assert jnp.allclose(correlation(3 * jnp.cos(x - 0.5)[None] + 1, jnp.cos(x)[None]), jnp.cos(0.5), atol=1e-5)
        ```
    """
    require_whole("a correlation")
    prediction, target = (_centered(v).reshape(len(v), -1) for v in (prediction, target))
    inner, a, b = (jnp.sum(v, axis=-1) for v in (prediction * target, prediction**2, target**2))
    if joint:
        inner, a, b = (jnp.sum(v, keepdims=True) for v in (inner, a, b))
    norm = jnp.sqrt(a) * jnp.sqrt(b)
    return jnp.where(norm == 0, 0, inner / jnp.where(norm == 0, 1, norm))


def correlation_time(
    prediction: Trajectory, target: Trajectory, times: Float[Array, " time"] | None = None, *, threshold: float = 0.8
) -> Float[Array, ""]:
    r"""The last time up to which the `correlation` of prediction and target, all channels together, is at least a threshold.

    **Arguments:**

    - `prediction`, `target`: the states after the start, `(time, channels, *space)`.
    - `times`: when they are, counted from the start; without them 1, 2, ... steps.
    - `threshold`: *good values* are 0.8 and, stricter, 0.95.

    **Returns:** one of the times, or 0 if not even the first state correlates; nothing is interpolated. The last of the times
    means that it is at least that. A state that is not finite does not correlate.

    **Source:** Lippe et al. 2023, arXiv:2308.05732 (0.8, the high-correlation time); Kochkov et al. 2021, arXiv:2102.01010,
    compare the correlations of vorticity (0.95).

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.metrics import correlation_time

        x = 2 * jnp.pi * jnp.arange(32) / 32
        phase = 0.2 * jnp.arange(1, 6)  # the prediction falls behind: the correlation is cos(phase)
        late = jnp.cos(x - phase[:, None])[:, None]
        assert correlation_time(late, jnp.broadcast_to(jnp.cos(x), (5, 1, 32))) == 3  # cos(0.6) = 0.83, cos(0.8) = 0.70
        ```
    """
    found = jax.vmap(lambda a, b: correlation(a, b, joint=True)[0])(prediction, target)
    return last_good(found >= threshold, times)


def valid_prediction_time(
    prediction: Trajectory, target: Trajectory, times: Float[Array, " time"] | None = None, *, threshold: float = 0.4
) -> Float[Array, ""]:
    r"""The last time up to which $\lVert\tilde u - u\rVert / \langle\lVert u\rVert^2\rangle^{1/2}$ is at most a threshold.

    The mean $\langle\cdot\rangle$ is over the times of the target, so that a moment at which it passes zero does not end it.

    **Arguments:** as in `correlation_time`, but for

    - `threshold`: *good values* are 0.3 to 0.5.

    **Returns:** as `correlation_time`.

    **Source:** Pathak et al. 2018, arXiv:1803.04779 (the valid time, with 0.4).

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.metrics import valid_prediction_time

        target, error = jnp.ones((4, 1, 8)), jnp.asarray([0.1, 0.2, 0.4, 0.8])[:, None, None]
        assert jnp.allclose(valid_prediction_time(target + error - 1e-3, target, jnp.asarray([0.5, 1.0, 1.5, 2.0])), 1.5)
        ```
    """
    require_whole("a valid prediction time")
    square = lambda v: jnp.sum(v**2, axis=tuple(range(1, v.ndim)))
    return last_good(jnp.sqrt(square(prediction - target)) <= threshold * jnp.sqrt(jnp.mean(square(target))), times)


def last_good(good: Bool[Array, " time"], times: Float[Array, " time"] | None = None) -> Float[Array, ""]:
    """The last of the times before the first that is not good, 0 if that is the first; without `times` they are 1, 2, ..."""
    numbers = jnp.arange(1, len(good) + 1, dtype=jnp.result_type(float))
    times = numbers if times is None else times
    count = jnp.sum(jnp.cumprod(good.astype(jnp.int32)))
    return jnp.concatenate([jnp.zeros(1, times.dtype), times])[count]


def _centered(u: RealField) -> RealField:
    return u - jnp.mean(u, axis=tuple(range(1, u.ndim)), keepdims=True)
