"""Repeated steps in time, for any map `u -> u_next`: a solver or a trained emulator."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact

from neuralop_jax._typing import Field, Trajectory
from neuralop_jax.errors import ModelInputError


def rollout(
    step: Callable[[Array], Array], u0: Field, num_steps: int, *, include_init: bool = True, checkpoint: bool = False
) -> Trajectory:
    r"""The trajectory $u_0, u_1 = \text{step}(u_0), u_2 = \text{step}(u_1), \dots$ as one compiled loop.

    **Arguments:**

    - `step`: one step, which keeps shape and type.
    - `u0`: the start, `(channels, *space)`.
    - `num_steps`: number of steps.
    - `include_init`: whether the trajectory starts with `u0`.
    - `checkpoint`: recomputes each step in the backward pass instead of storing what is inside it; for long rollouts.

    **Returns:** `(num_steps + 1, channels, *space)`, or `(num_steps, channels, *space)` without the start.

    **Raises:** `ModelInputError` if `step` changes shape or type.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.rollout import rollout

        assert rollout(lambda u: 0.5 * u, jnp.ones((1, 4)), 3)[-1, 0, 0] == 0.125
        ```
    """
    step = _checked(step, u0, u0)

    def body(u: Array, _: None) -> tuple[Array, Array]:
        u = step(u)
        return u, u

    trajectory = jax.lax.scan(jax.checkpoint(body) if checkpoint else body, u0, length=num_steps)[1]
    return jnp.concatenate([u0[None], trajectory]) if include_init else trajectory


def repeat(step: Callable[[Array], Array], u0: Field, num_steps: int) -> Field:
    r"""The state after `num_steps` steps, $\text{step}(\cdots\text{step}(u_0))$: the end of `rollout`, nothing else is stored.

    Made of a fine step of a solver, it is a coarse step that an emulator can be compared with.

    **Arguments:** as in `rollout`.

    **Returns:** `(channels, *space)`.

    **Raises:** `ModelInputError` if `step` changes shape or type.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.rollout import repeat

        assert repeat(lambda u: 2 * u, jnp.ones((1, 4)), 10)[0, 0] == 1024
        ```
    """
    step = _checked(step, u0, u0)
    return jax.lax.scan(lambda u, _: (step(u), None), u0, length=num_steps)[0]


def window_rollout(
    step: Callable[[Array], Array], window: Trajectory, num_steps: int, *, checkpoint: bool = False
) -> Inexact[Array, "steps channels *space"]:
    """The next `num_steps` frames, each predicted from the newest frames; then the oldest is dropped.

    **Arguments:**

    - `step`: from the frames of the window stacked along the channels, `(time * channels, *space)` with the oldest first, to the
        next frame `(channels, *space)`.
    - `window`: the frames at the start, oldest first.
    - `num_steps`: number of frames to predict.
    - `checkpoint`: recomputes each step in the backward pass instead of storing what is inside it.

    **Returns:** `(num_steps, channels, *space)`.

    **Raises:** `ModelInputError` if a predicted frame differs from those of the window in shape or type.

    **Source:** the recurrent FNO-2D of Li et al. 2021, arXiv:2010.08895, section 5.3, which sees 10 frames.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.rollout import window_rollout

        fibonacci = window_rollout(lambda w: w[:1] + w[1:], jnp.ones((2, 1, 1)), 5)
        assert fibonacci.ravel().tolist() == [2, 3, 5, 8, 13]
        ```
    """
    stack = lambda frames: frames.reshape(-1, *frames.shape[2:])
    step = _checked(step, stack(window), window[0])

    def body(frames: Array, _: None) -> tuple[Array, Array]:
        new = step(stack(frames))
        return jnp.concatenate([frames[1:], new[None]]), new

    return jax.lax.scan(jax.checkpoint(body) if checkpoint else body, window, length=num_steps)[1]


def _checked(step: Callable[[Array], Array], u: Array, wanted: Array) -> Callable[[Array], Array]:
    """`step`, once it is known that it turns arrays like `u` into arrays like `wanted`."""
    found = jax.eval_shape(step, u)
    if (found.shape, found.dtype) != (wanted.shape, wanted.dtype):
        raise ModelInputError(
            f"a rollout needs steps that return {wanted.dtype} {wanted.shape}, the type and shape of a state; this one returns "
            f"{found.dtype} {found.shape}. Convert or select channels inside the step."
        )
    return step
