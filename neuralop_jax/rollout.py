"""Repeated steps in time, for any map `u -> u_next`: a solver or a trained emulator."""

from collections.abc import Callable
from typing import overload

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Inexact, Int

from neuralop_jax._typing import Field, Trajectory
from neuralop_jax.errors import ModelInputError


class StoppedRollout(eqx.Module):
    """A trajectory that may have ended early.

    - `values`: the states, `(time, channels, *space)`; from the first bad step on the last good one again and again.
    - `bad_step`: the first step that led to a state which is not finite or too large; 0 if none did.
    """

    values: Trajectory
    bad_step: Int[Array, ""]

    @property
    def diverged(self) -> Bool[Array, ""]:
        """Whether a step was bad."""
        return self.bad_step > 0


@overload
def rollout(
    step: Callable[[Array], Array],
    u0: Field,
    num_steps: int,
    *,
    include_init: bool = ...,
    checkpoint: bool = ...,
    stop_at: None = ...,
) -> Trajectory: ...


@overload
def rollout(
    step: Callable[[Array], Array],
    u0: Field,
    num_steps: int,
    *,
    include_init: bool = ...,
    checkpoint: bool = ...,
    stop_at: float | Float[Array, "..."],
) -> StoppedRollout: ...


def rollout(
    step: Callable[[Array], Array],
    u0: Field,
    num_steps: int,
    *,
    include_init: bool = True,
    checkpoint: bool = False,
    stop_at: float | Float[Array, "..."] | None = None,
) -> Trajectory | StoppedRollout:
    r"""The trajectory $u_0, u_1 = \text{step}(u_0), u_2 = \text{step}(u_1), \dots$ as one compiled loop.

    **Arguments:**

    - `step`: one step, which keeps shape and type.
    - `u0`: the start, `(channels, *space)`.
    - `num_steps`: number of steps.
    - `include_init`: whether the trajectory starts with `u0`.
    - `checkpoint`: recomputes each step in the backward pass instead of storing what is inside it; for long rollouts.
    - `stop_at`: the largest magnitude that a state may have, one for all channels or `(channels,)`. After a state that is larger
        or not finite no step is made: an emulator that blows up then costs nothing more, and spoils no mean. Under `jax.vmap`
        every sample stops by itself. *Good values*: a thousand standard deviations of the data; infinity for NaN alone.

    **Returns:** `(num_steps + 1, channels, *space)`, or `(num_steps, channels, *space)` without the start; with `stop_at` a
    `StoppedRollout`.

    **Raises:** `ModelInputError` if `step` changes shape or type.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.rollout import rollout

        assert rollout(lambda u: 0.5 * u, jnp.ones((1, 4)), 3)[-1, 0, 0] == 0.125
        stopped = rollout(lambda u: 10 * u, jnp.ones((1, 4)), 9, stop_at=1e3)
        assert stopped.bad_step == 4 and stopped.values.max() == 1e3
        ```
    """
    step = _checked(step, u0, u0)
    if stop_at is not None:
        values, bad_step = _until_bad(step, u0, num_steps, stop_at, checkpoint)
        return StoppedRollout(jnp.concatenate([u0[None], values]) if include_init else values, bad_step)

    def body(u: Array, _: None) -> tuple[Array, Array]:
        u = step(u)
        return u, u

    trajectory = jax.lax.scan(jax.checkpoint(body) if checkpoint else body, u0, length=num_steps)[1]
    return jnp.concatenate([u0[None], trajectory]) if include_init else trajectory


def _until_bad(
    step: Callable[[Array], Array], u0: Field, num_steps: int, stop_at: float | Float[Array, "..."], checkpoint: bool
) -> tuple[Trajectory, Int[Array, ""]]:
    """The states after `u0`, frozen after the last good one, and the number of the first bad step, 0 if there is none."""
    limit = jnp.asarray(stop_at, jnp.finfo(u0.dtype).dtype)
    limit = limit.reshape(-1, *[1] * (u0.ndim - 1)) if limit.ndim else limit

    def body(state: tuple[Array, Array], number: Array) -> tuple[tuple[Array, Array], Array]:
        u, bad_step = state
        new = jax.lax.cond(bad_step > 0, lambda u: u, step, u)
        good = (bad_step > 0) | jnp.all(jnp.isfinite(new) & (jnp.abs(new) <= limit))
        state = jnp.where(good, new, u), jnp.where(good, bad_step, number)
        return state, state[0]

    numbers = jnp.arange(1, num_steps + 1, dtype=jnp.int32)
    (_, bad_step), values = jax.lax.scan(jax.checkpoint(body) if checkpoint else body, (u0, jnp.zeros((), jnp.int32)), numbers)
    return values, bad_step


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
    step: Callable[[Array], Array], window: Trajectory, num_steps: int, *, frames: int = 1, checkpoint: bool = False
) -> Inexact[Array, "steps channels *space"]:
    """The next `num_steps` frames, predicted from the newest frames; then as many of the oldest are dropped as are new.

    **Arguments:**

    - `step`: from the frames of the window stacked along the channels, `(time * channels, *space)` with the oldest first, to the
        next frame `(channels, *space)`, or the next `frames` stacked likewise.
    - `window`: the frames at the start, oldest first.
    - `num_steps`: number of frames to predict; of the last call, frames beyond it are left out.
    - `frames`: frames that one call emits, such as `latent_steps` of a `FactFormer`.
    - `checkpoint`: recomputes each step in the backward pass instead of storing what is inside it.

    **Returns:** `(num_steps, channels, *space)`.

    **Raises:** `ModelInputError` if a predicted frame differs from those of the window in shape or type, or a call emits another
    number of them.

    **Source:** the recurrent FNO-2D of Li et al. 2021, arXiv:2010.08895, section 5.3, which sees 10 frames.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.rollout import window_rollout

        fibonacci = window_rollout(lambda w: w[:1] + w[1:], jnp.ones((2, 1, 1)), 5)
        assert fibonacci.ravel().tolist() == [2, 3, 5, 8, 13]
        ```
    """
    if frames < 1:
        raise ModelInputError(f"window_rollout needs steps that emit at least one frame per call, got frames={frames}. Raise it.")
    channels, space = window.shape[1], window.shape[2:]
    wanted = jax.ShapeDtypeStruct((frames * channels, *space), window.dtype)
    remedy = "Say with frames=... how many frames a call emits, or convert or select channels inside the step."
    step = _checked(step, window.reshape(-1, *space), wanted, remedy)

    def body(window: Array, _: None) -> tuple[Array, Array]:
        new = emitted(step, window)
        return moved(window, new), new

    calls = -(-num_steps // frames)
    predicted = jax.lax.scan(jax.checkpoint(body) if checkpoint else body, window, length=calls)[1]
    return predicted.reshape(-1, channels, *space)[:num_steps]


def emitted(step: Callable[[Array], Array], window: Trajectory) -> Inexact[Array, "frames channels *space"]:
    """The frames that one call of `step` emits, which takes and returns frames stacked along the channels.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.rollout import emitted

        frames = emitted(lambda w: 2 * w[1:], jnp.ones((2, 1, 4)))  # of two frames of one channel the second, doubled
        assert frames.shape == (1, 1, 4) and (frames == 2).all()
        ```
    """
    return step(window.reshape(-1, *window.shape[2:])).reshape(-1, *window.shape[1:])


def moved(window: Trajectory, frames: Inexact[Array, "frames channels *space"]) -> Trajectory:
    """As many frames as the window holds, the newest of it and of the `frames` after it."""
    return jnp.concatenate([window, frames])[-len(window) :]


def _checked(
    step: Callable[[Array], Array],
    u: Array,
    wanted: Array | jax.ShapeDtypeStruct,
    remedy: str = "Convert or select channels inside the step.",
) -> Callable[[Array], Array]:
    """`step`, once it is known that it turns arrays like `u` into arrays like `wanted`."""
    found = jax.eval_shape(step, u)
    if (found.shape, found.dtype) != (wanted.shape, wanted.dtype):
        raise ModelInputError(
            f"a rollout needs steps that return {wanted.dtype} {wanted.shape}, the type and shape of a state; this one returns "
            f"{found.dtype} {found.shape}. {remedy}"
        )
    return step
