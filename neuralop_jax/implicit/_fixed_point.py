"""Solutions of x = T(x) by any method, with implicit derivatives and a verdict."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jax.core import Tracer
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, ArrayLike, Float, Int, PyTree

from neuralop_jax._result import SUCCESS, believed
from neuralop_jax.errors import ConfigError
from neuralop_jax.implicit._anderson import Anderson
from neuralop_jax.implicit._arguments import arrays, floating, is_known, kinds, stopped
from neuralop_jax.implicit._custom_root import implicit_root
from neuralop_jax.implicit._iteration import AbstractFixedPointMethod
from neuralop_jax.implicit._richardson import Richardson


class FixedPoint(eqx.Module):
    """A fixed point, and whether to believe it. Codes and numbers are one, or with `axis` one for each sample.

    - `value`: the solution; NaN where the solve failed, unless `accept` says otherwise.
    - `result`: 0 success; 1 too many steps; 2 not finite; 8 expanding map.
    - `num_steps`: steps taken; the map was evaluated once more, by `SteadyState` several times for each.
    - `relative_residual`: $\\|T(x) - x\\|_2 / \\|T(x)\\|_2$ at the solution, or where the solve came closest to one; of a
      `SteadyState` that failed, where it ended.
    """

    value: PyTree[Array]
    result: Int[Array, "*samples"]
    num_steps: Int[Array, "*samples"]
    relative_residual: Float[Array, "*samples"]

    @property
    def successful(self) -> Array:
        """Whether the result code is 0."""
        return self.result == SUCCESS

    def or_raise(self) -> "FixedPoint":
        """This solution if it succeeded; a `SolverError` with the remedy if not, inside compiled code as a run-time error."""
        return _raised(self, self.result)


def fixed_point(
    step: Callable[..., PyTree[Array]],
    start: PyTree[ArrayLike],
    *arguments: Any,
    method: AbstractFixedPointMethod | None = None,
    rtol: float | int = 1e-6,
    atol: float | int = 1e-12,
    max_steps: int = 256,
    accept: float | int = 0.0,
    axis: int | None = None,
    linear_solver: lx.AbstractLinearSolver | None = None,
    throw: bool = True,
) -> FixedPoint:
    r"""Solves $x = T(x, \theta)$ by Picard, Anderson or Broyden iteration, with derivatives of the solution itself.

    The iterations are not differentiated and none of them is kept: memory does not depend on their number. Both modes and all
    orders of derivatives work, also with respect to what `step` captures by closure; see `custom_fixed_point`. Under `jax.vmap`
    every sample has its own verdict, and a sample that fails leaves the others as they are.

    **Arguments:**

    - `step`: $T$, called `step(x, *arguments)`; it returns the structure of `x`.
    - `start`: where to begin, a tree of real arrays. It has no derivative.
    - `arguments`: $\theta$, anything; floats become arrays.
    - `method`: `Picard`, `Anderson`, `Broyden` or `SteadyState`; `Anderson()` if `None`.
    - `rtol`, `atol`: converged if $\|T(x) - x\|_2 \le \max(\text{rtol}\,\|T(x)\|_2, \text{atol})$. Less than ten rounding errors
        is taken as ten. `atol` is a residual that is small whatever the solution's size: give 0 where states of norm `atol`
        mean anything.
    - `max_steps`: steps after which to give up. A residual that is then larger than the first, or that has grown ten thousand
        times before and is larger than $T(x)$, or $10^{12}$ times, is reported as an expanding map.
    - `accept`: the largest relative residual with which the best point of a failed solve is returned instead of NaN, and not
        raised; the result code stays. One that is not finite is never accepted. *Good values*: 0; for layers in training 0.1,
        or `inf`, which is common practice.
    - `axis`: the axis of the state, then one array, along which samples stand, each with its own verdict and acceleration: the
        same as `jax.vmap`, without its copies of the history.
    - `linear_solver`: for the derivatives, of $I - \partial_x T$; `GCR` if `None`. *Good values*: `Richardson()` for
        maps that nearly contract.
    - `throw`: raise on failure, also of the linear system of a derivative.

    **Returns:** a `FixedPoint`.

    **Raises:** `ConfigError` if `step` does not return the structure of `start`, and for options that are no numbers or negative;
    `SolverError`, if `throw`, for failure.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        from neuralop_jax.implicit import fixed_point

        kepler = lambda x, m: m + 0.9 * jnp.sin(x)
        x, slope = jax.value_and_grad(lambda m: fixed_point(kepler, m, m).value)(jnp.asarray(1.0))
        assert abs(slope * (1 - 0.9 * jnp.cos(x)) - 1) < 1e-4
        ```
    """
    for name, value in (("rtol", rtol), ("atol", atol), ("accept", accept)):
        if not is_known(value) or not float(value) >= 0:
            raise ConfigError(f"fixed_point needs {name} to be a known number of at least 0, got {value!r}.")
    if not isinstance(max_steps, int) or max_steps < 0:
        raise ConfigError(f"fixed_point needs max_steps to be an integer of at least 0, got {max_steps!r}.")
    if method is not None and not isinstance(method, AbstractFixedPointMethod):
        raise ConfigError(f"fixed_point needs a method such as Anderson(), Broyden(), Picard() or SteadyState(), got {method!r}.")
    start, arguments = floating("fixed_point needs a start", start), arrays(arguments)
    start = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype=leaf.dtype), start)  # its type weak no longer
    flat, restore, axes = _flattened(stopped(start), axis)
    hoisted = eqx.filter_closure_convert(step, start, *arguments)
    found, wanted = kinds(jax.eval_shape(lambda: hoisted(start, *arguments))), kinds(start)
    if found != wanted:
        raise ConfigError(f"fixed_point got a start of {wanted} and a step that returns {found}. Return what it is given.")
    still, known = stopped((hoisted, arguments))
    flatten = lambda x: _flattened(x, axis)[0]  # noqa: E731
    if axis is not None and isinstance(linear_solver, Richardson):
        linear_solver = linear_solver.over(flat.shape)
    method = Anderson() if method is None else method
    advance = lambda z: flatten(still(restore(z), *known))  # noqa: E731
    ended = method.run(advance, flat, axes, rtol=rtol, atol=atol, max_steps=max_steps)
    kept = (ended.result == SUCCESS) | ((ended.relative_residual <= accept) & jnp.isfinite(ended.relative_residual))
    # A sample that failed takes no part in the linear systems of the derivatives: there its map is constant, its input the start.
    value = implicit_root(
        lambda x, step, *arguments: x - jnp.where(kept, flatten(step(restore(jnp.where(kept, x, flat)), *arguments)), 0),
        jnp.where(kept, ended.value, flat),
        hoisted,
        *arguments,
        linear_solver=linear_solver,
        throw=throw,
    )
    value = restore(jnp.where(kept, value, jnp.nan))
    samples = () if axis is None else (-1,)
    result, num_steps, relative = (a.reshape(samples) for a in (ended.result, ended.num_steps, ended.relative_residual))
    solution = FixedPoint(value, result.astype(int), num_steps.astype(int), relative)
    return _raised(solution, jnp.where(kept.reshape(samples), SUCCESS, result)) if throw else solution


def _raised(solution: FixedPoint, result: Array) -> FixedPoint:
    """The solution, if all codes in `result` are 0."""
    found = ""
    if not isinstance(result, Tracer):
        steps, residual = int(jnp.max(solution.num_steps)), float(jnp.max(solution.relative_residual))
        found = f" Steps {steps}, relative residual {residual:.1e}."
    leaves, structure = jax.tree.flatten(solution.value)
    leaves = [believed(leaf, result, found=found) for leaf in leaves]
    return eqx.tree_at(lambda s: s.value, solution, jax.tree.unflatten(structure, leaves))


def _flattened(x: PyTree[Array], axis: int | None) -> tuple[Array, Callable[[Array], PyTree[Array]], tuple[int, ...]]:
    """The state as one array, the way back, and the axes of that array which belong to one sample."""
    if axis is None:
        flat, restore = ravel_pytree(x)
        return flat, restore, (-1,)
    if not eqx.is_array(x) or not -x.ndim <= axis < x.ndim:
        raise ConfigError(f"axis={axis} needs a state that is one array with such an axis. Use jax.vmap instead.")
    shape, axis = x.shape, axis % x.ndim
    return x.reshape(math.prod(shape[:axis]), shape[axis], -1), lambda z: z.reshape(shape), (-3, -1)
