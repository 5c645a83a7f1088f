"""Losses of a trajectory that an emulator makes by itself."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuralop_jax._typing import Field, Trajectory
from neuralop_jax.losses._supervised import relative_l2
from neuralop_jax.rollout import rollout


def trajectory_loss(predictions: Trajectory, targets: Trajectory) -> Float[Array, ""]:
    r"""$\sum_{t=1}^{T} \lVert u_t - y_t\rVert/\lVert y_t\rVert$: the relative L2 errors of the frames, added up.

    The error that is reported of a trajectory is another number, the relative L2 error of all frames together:
    `relative_l2(predictions, targets)`.

    **Source:** Li et al. 2021, arXiv:2010.08895, section 5.3.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.losses import trajectory_loss

        targets = jnp.ones((3, 1, 8))
        assert jnp.allclose(trajectory_loss(1.1 * targets, targets), 3 * 0.1)
        ```
    """
    return jnp.sum(jax.vmap(relative_l2)(predictions, targets))


def rollout_loss(
    step: Callable[[Array], Array],
    u0: Field,
    targets: Trajectory,
    *,
    pushforward: bool = False,
    checkpoint: bool = False,
) -> Float[Array, ""]:
    r"""The `trajectory_loss` of the rollout $u_t = \text{step}(u_{t-1})$ from $u_0$, differentiated through all its steps.

    **Arguments:**

    - `step`: one step in time, which keeps shape and type.
    - `u0`: the state at the start, `(channels, *space)`.
    - `targets`: the states $y_1 \dots y_T$.
    - `pushforward`: differentiates each frame through the last step to it only. With two steps this is the sum of one-step and
        stability loss of the source.
    - `checkpoint`: recomputes each step in the backward pass instead of storing what is inside it.

    For a step that sees several past frames: `trajectory_loss(window_rollout(step, window, len(targets)), targets)`.

    **Source:** Li et al. 2021, arXiv:2010.08895, section 5.3; `pushforward` from Brandstetter et al. 2022, arXiv:2202.03376,
    section 3.1.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.losses import rollout_loss

        targets = jnp.ones((3, 1, 8))
        assert jnp.allclose(rollout_loss(lambda u: 2 * u, jnp.ones((1, 8)), targets), 1 + 3 + 7)
        ```
    """
    advance = (lambda u: step(jax.lax.stop_gradient(u))) if pushforward else step
    return trajectory_loss(rollout(advance, u0, len(targets), include_init=False, checkpoint=checkpoint), targets)
