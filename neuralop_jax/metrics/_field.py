"""Errors of a predicted field against its target, channel by channel or of all channels together."""

import math
from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

from neuralop_jax._typing import Field
from neuralop_jax.grids import Grid
from neuralop_jax.kernels import (
    beyond,
    derivative,
    is_divided,
    on_lines,
    space_max,
    space_mean,
    space_size,
    space_sum,
    whole_shape,
    window,
)
from neuralop_jax.kernels._space import block_start


def relative_l2(prediction: Field, target: Field, grid: Grid | None = None, *, joint: bool = False) -> Float[Array, " values"]:
    r"""$\lVert e\rVert_2/\lVert y\rVert_2$ of the error $e$ against the target $y$, over the points of the sample.

    **Arguments:**

    - `prediction`, `target`: `(channels, *space)`, real or complex, in the same unit.
    - `grid`: does not matter, as all points of a uniform grid have the same weight.
    - `joint`: one norm over all channels together, as for a trajectory whose frames are channels, instead of one for each.

    **Returns:** `(channels,)`, or `(1,)` if `joint`. Where the target vanishes everywhere no error is relative to it: there it
    is the root mean square of the error. The gradient is finite everywhere, and zero where the error vanishes. The unit may be
    as large or small as the number type holds.

    **Source:** Li et al. 2021, arXiv:2010.08895, section 5, with `joint`.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.metrics import relative_l2

        target = jnp.ones((2, 8, 8))
        assert jnp.allclose(relative_l2(1.1 * target, target), 0.1, atol=1e-6)
        ```
    """
    return relative(lambda u: u, prediction - target, target, joint)


def relative_h1(
    prediction: Field, target: Field, grid: Grid | None = None, *, joint: bool = False, spectral: bool = True
) -> Float[Array, " values"]:
    r"""$\sqrt{(\lVert e\rVert^2 + \lVert\nabla e\rVert^2)/(\lVert y\rVert^2 + \lVert\nabla y\rVert^2)}$: fine scales weigh more.

    Derivatives are spectral on a periodic axis, or with `spectral=False` central differences around it. On any other they are
    central differences, with one-sided ones at the two ends, all of second order (of first order on two points; zero on one).

    **Arguments:** as in `relative_l2`, but for

    - `grid`: its spacing, boundaries and unit of length; without one the unit box, not periodic, with spacing $1/N$. The norm
        depends on the unit of length, as it adds $u^2$ and $(\partial u/\partial x)^2$.
    - `spectral`: how an error of the shortest waves counts on a periodic axis: to a central difference they look flat.

    **Returns:** as in `relative_l2`.

    **Source:** Kossaifi et al. 2023, arXiv:2310.00120, with `spectral=False`; the `H1Loss` of neuraloperator has the same numbers
    on periodic axes, and differences of third order at open ends.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.grids import Grid
        from neuralop_jax.metrics import relative_h1

        grid = Grid((32,), boundary=("periodic",))
        wave = lambda k: jnp.sin(2 * jnp.pi * k * jnp.arange(32) / 32)[None]
        error = relative_h1(wave(1) + 0.1 * wave(4), wave(1), grid)
        assert jnp.allclose(error, 0.4, rtol=0.02)  # 0.1 in the fourth wave weighs about four times as much
        ```
    """
    grid = grid or Grid(whole_shape(prediction.shape[1:]), endpoint=(False,) * (prediction.ndim - 1))
    parts = lambda u: jnp.stack([u] + [slope(u, axis, grid, spectral=spectral) for axis in range(grid.num_dims)], axis=1)
    return relative(parts, prediction - target, target, joint)


def normalized_rmse(
    prediction: Field, target: Field, grid: Grid | None = None, *, joint: bool = False
) -> Float[Array, " values"]:
    r"""$\lVert e\rVert_2/\lVert y - \bar y\rVert_2$: the error over the standard deviation of the target in space.

    To predict the mean of each channel gives 1. Arguments and result are those of `relative_l2`; The Well calls it VRMSE.

    **Source:** Ohana et al. 2024, arXiv:2412.00568.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.metrics import normalized_rmse

        target = jnp.asarray([[1.0, 3.0]])
        assert normalized_rmse(jnp.asarray([[2.0, 2.0]]), target) == 1
        ```
    """
    centered = target - space_mean(target, _space(target), keepdims=True)
    return relative(lambda u: u, prediction - target, centered, joint)


def max_error(prediction: Field, target: Field, grid: Grid | None = None, *, joint: bool = False) -> Float[Array, " values"]:
    r"""$\max_x \lvert e(x)\rvert$ over the points, in the unit of the field; arguments as in `relative_l2`.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.metrics import max_error

        prediction, target = jnp.asarray([[1.0, -3.0], [0.5, 0.0]]), jnp.zeros((2, 2))
        assert max_error(prediction, target).tolist() == [3, 0.5]
        assert max_error(prediction, target, joint=True) == 3
        ```
    """
    largest = space_max(jnp.max(jnp.abs(prediction - target), axis=_space(target)))
    return jnp.max(largest, keepdims=True) if joint else largest


def mse(prediction: Field, target: Field, grid: Grid | None = None, *, joint: bool = False) -> Float[Array, " values"]:
    r"""The mean of $\lvert e\rvert^2$ over the points, in the square of the field's unit; arguments as in `relative_l2`.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.metrics import mse

        assert mse(jnp.asarray([[1.0, 3.0]]), jnp.zeros((1, 2))) == 5
        ```
    """
    error = prediction - target
    mean = space_mean(_square(error), _space(error))
    return jnp.mean(mean, keepdims=True) if joint else mean


def relative(parts: Callable[[Array], Array], error: Array, target: Array, joint: bool) -> Float[Array, " values"]:
    """The norm of `parts(error)` over that of `parts(target)`; `parts` is linear and keeps the channels first."""
    scale = _scale(target, joint)
    square, whole = (space_sum(jnp.sum(_square(v), axis=_space(v))) for v in (parts(error / scale), parts(target / scale)))
    count = math.prod(whole_shape(target.shape[1:]))
    if joint:
        square, whole, count = jnp.sum(square, keepdims=True), jnp.sum(whole, keepdims=True), count * target.shape[0]
    ratio = square / jnp.where(whole > 0, whole, count)
    return jnp.where(ratio > 0, jnp.sqrt(jnp.where(ratio > 0, ratio, 1)), 0 * ratio)


def _scale(target: Array, joint: bool) -> Float[Array, "..."]:
    """The largest magnitude of the target, by which squares neither overflow nor vanish; 1 where there is none."""
    largest = space_max(jnp.max(jnp.abs(target), axis=None if joint else _space(target), keepdims=True))
    return jnp.where(largest > 0, largest, 1)


def _square(u: Array) -> Float[Array, "..."]:
    return u.real**2 + u.imag**2 if jnp.iscomplexobj(u) else u**2


def _space(u: Array) -> tuple[int, ...]:
    return tuple(range(1, u.ndim))


def slope(
    u: Inexact[Array, "channels *space"], axis: int, grid: Grid, *, spectral: bool = True
) -> Inexact[Array, "channels *space"]:
    """The derivative along a space axis of the grid, as in `relative_h1`."""
    if grid.boundary[axis] == "periodic":
        left, right = grid.extent[axis]
        if spectral:
            return derivative(u, axis, extent=right - left)
        if axis == 0 and is_divided():
            return _central(window(u, 1, -1, u.shape[1] + 2, boundary="periodic")) / (2 * grid.spacing[axis])
        return (jnp.roll(u, -1, axis + 1) - jnp.roll(u, 1, axis + 1)) / (2 * grid.spacing[axis])
    if axis == 0 and is_divided():
        if u.shape[1] < 3:  # the one-sided differences reach further
            return on_lines(_open_slope, u, 1) / grid.spacing[axis]
        return _central(_continued(u)) / (2 * grid.spacing[axis])
    return _open_slope(u, axis + 1) / grid.spacing[axis]


def _open_slope(u: Array, axis: int) -> Array:
    """Central differences, one-sided ones at the ends, for a spacing of 1."""
    u = jnp.moveaxis(u, axis, -1)
    if u.shape[-1] == 1:
        slope = 0 * u
    elif u.shape[-1] == 2:
        slope = jnp.broadcast_to(u[..., 1:] - u[..., :1], u.shape)
    else:
        first = -1.5 * u[..., :1] + 2 * u[..., 1:2] - 0.5 * u[..., 2:3]
        last = 1.5 * u[..., -1:] - 2 * u[..., -2:-1] + 0.5 * u[..., -3:-2]
        slope = jnp.concatenate([first, (u[..., 2:] - u[..., :-2]) / 2, last], -1)
    return jnp.moveaxis(slope, -1, axis)


def _central(u: Array) -> Array:
    """The differences along the first space axis of a field that is one point wider at both ends."""
    return u[:, 2:] - u[:, :-2]


def _continued(u: Array) -> Array:
    """The block with the points next to it; beyond the ends the parabola goes on, for which both kinds of differences agree."""
    left, right = beyond(u, 1, 1, 1, "zeros")
    place, parabola = block_start(1), lambda a, b, c: 3 * a - 3 * b + c
    left = jnp.where(place == 0, parabola(u[:, :1], u[:, 1:2], u[:, 2:3]), left)
    right = jnp.where(place == space_size() - 1, parabola(u[:, -1:], u[:, -2:-1], u[:, -3:-2]), right)
    return jnp.concatenate([left, u, right], 1)


def accuracy(prediction: Field, target: Field) -> Float[Array, ""]:
    """The part of the points at which the largest channel of the prediction is that of the target: the class that is 1 there.

    NaN if the targets are not classes: several channels, of which one is 1 at every point and the others are 0.

    **Arguments:**

    - `prediction`, `target`: `(classes, *space)`.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.metrics import accuracy

        logits = jnp.asarray([[2.0, -1.0, 3.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
        assert accuracy(logits, jnp.asarray([[1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])) == 0.75
        ```
    """
    fits = ((target == 0) | (target == 1)).all(axis=0) & (target.sum(axis=0) == 1)
    classes = (len(target) > 1) & (space_sum(jnp.sum(~fits)) == 0)
    right = (jnp.argmax(prediction, axis=0) == jnp.argmax(target, axis=0)) & jnp.isfinite(prediction).all(axis=0)
    return jnp.where(classes, space_mean(right.astype(jnp.result_type(jnp.float32)), range(right.ndim)), jnp.nan)
