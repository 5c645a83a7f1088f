"""Training on frames that follow the model's own: the push-forward trick for models that emit several frames per call."""

from collections.abc import Callable

import jax
from jaxtyping import Array, Float, Inexact

from neuralop_jax.errors import ConfigError
from neuralop_jax.losses._supervised import relative_l2
from neuralop_jax.rollout import emitted, moved


def push_forward_loss(
    step: Callable[[Array], Array],
    window: Inexact[Array, "past channels *space"],
    targets: Inexact[Array, "future channels *space"],
    *,
    calls: int = 0,
    constrain: Callable[[Array], Array] = lambda window: window,
    loss: Callable[[Array, Array], Array] = relative_l2,
) -> Float[Array, ""]:
    r"""The loss of the last of `calls` + 1 calls, each of which emits $S$ frames; the gradient sees the last call only.

    After every call its frames enter the window, and as many of the oldest leave it. With $n$ calls before the last, the targets
    are frames $nS$ to $(n + 1)S - 1$.

    **Arguments:**

    - `step`: from the frames of the window stacked along the channels, `(time * channels, *space)` with the oldest first, to
      the next frames stacked likewise, such as a `FactFormer` with `latent_steps`.
    - `window`: the frames at the start, oldest first.
    - `targets`: the frames that follow, at least $(n + 1)S$; more are not read, so that one window serves a growing $S$.
    - `calls`: $n$, calls without gradient. 0 is ordinary training; the published runs take 2 for Kolmogorov flow, 1 in three
      dimensions, in every second or third step once training has settled.
    - `constrain`: what is done to a window of predicted frames before it is used, such as setting velocities at a wall to zero.
    - `loss`: of frames against targets, `(S, channels, *space)`; one number for all of them together by default.

    **Raises:** `ConfigError` if there are too few targets.

    **Source:** Brandstetter, Worrall, Welling 2022, arXiv:2202.03376, section 3.1, in the form of the released code of Li, Shu,
    Barati Farimani 2023, arXiv:2305.17560.

    !!! example

        ```python
        import jax.numpy as jnp

        from neuralop_jax.losses import push_forward_loss

        double = lambda w: 2 * w[-1:]  # one frame per call
        window, targets = jnp.ones((2, 1, 8)), jnp.ones((3, 1, 8))
        assert jnp.allclose(push_forward_loss(double, window, targets, calls=1), 3)  # the second frame is 4
        ```
    """
    frames = emitted(step, window)
    start, end = calls * len(frames), (calls + 1) * len(frames)
    if len(targets) < end:
        raise ConfigError(f"push_forward_loss needs {end} target frames for {calls + 1} calls, got {len(targets)}. Give more.")
    for _ in range(calls):
        window = moved(window, frames)
        frames = emitted(step, jax.lax.stop_gradient(constrain(window)))
    return loss(frames, targets[start:end])


def curriculum(iteration: int, *, start: int, end: int, length: int) -> int:
    """A whole number that grows from `start` to `end` in equal stages over `length` iterations, and stays there.

    For the frames that a model emits in a call while it learns: `model.with_latent_steps(curriculum(...))`. Each number means
    another compilation.

    **Raises:** `ConfigError` for a length below one iteration.

    **Source:** the released code of Li, Shu, Barati Farimani 2023, arXiv:2305.17560: 1 to 4 in 6000 iterations for Kolmogorov
    flow.

    !!! example

        ```python
        from neuralop_jax.losses import curriculum

        assert [curriculum(i, start=1, end=4, length=6) for i in range(0, 9, 2)] == [1, 2, 3, 4, 4]
        ```
    """
    if length < 1:
        raise ConfigError(f"curriculum needs a length of at least one iteration, got {length}. Raise it.")
    return start + (end - start) * min(iteration, length) // length
