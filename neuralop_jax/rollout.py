"""Repeated steps in time, for any map `u -> u_next`: a solver or a trained emulator."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact


def rollout(
    step: Callable[[Array], Array],
    u0: Inexact[Array, "channels *space"],
    num_steps: int,
    *,
    include_init: bool = True,
    checkpoint: bool = False,
) -> Inexact[Array, "time channels *space"]:
    r"""The trajectory $u_0, u_1 = \text{step}(u_0), u_2 = \text{step}(u_1), \dots$ as one compiled loop.

    **Arguments:**

    - `step`: one step, which keeps shape and type.
    - `u0`: the start, `(channels, *space)`.
    - `num_steps`: number of steps.
    - `include_init`: whether the trajectory starts with `u0`.
    - `checkpoint`: recompute each step in the backward pass instead of storing what is inside it; for long rollouts.

    **Returns:** `(num_steps + 1, channels, *space)`, or `(num_steps, ...)` without the start.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.rollout import rollout

        assert rollout(lambda u: 0.5 * u, jnp.ones((1, 4)), 3)[-1, 0, 0] == 0.125
        ```
    """
    step = jax.checkpoint(step) if checkpoint else step

    def body(u, _):
        u = step(u)
        return u, u

    _, trajectory = jax.lax.scan(body, u0, length=num_steps)
    return jnp.concatenate([u0[None], trajectory]) if include_init else trajectory


def window_rollout(
    step: Callable[[Array], Array], window: Inexact[Array, "time channels *space"], num_steps: int
) -> Inexact[Array, "steps channels *space"]:
    """The next `num_steps` frames, each predicted from the newest frames stacked along the channels.

    **Arguments:**

    - `step`: from `(time * channels, *space)`, oldest frame first, to the next frame `(channels, *space)`.
    - `window`: the frames at the start, oldest first.
    - `num_steps`: number of frames to predict.

    **Source:** the recurrent FNO-2D of Li et al. 2021, arXiv:2010.08895, which sees 10 frames.
    """

    def body(frames, _):
        new = step(frames.reshape(-1, *frames.shape[2:]))
        return jnp.concatenate([frames[1:], new[None]]), new

    return jax.lax.scan(body, window, length=num_steps)[1]
