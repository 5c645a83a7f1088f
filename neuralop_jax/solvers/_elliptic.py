"""Elliptic equations in divergence form by finite volumes, multigrid and conjugate gradients, differentiated implicitly."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float

from neuralop_jax._checks import one_of
from neuralop_jax._result import INCOMPATIBLE, NOT_POSITIVE, SUCCESS
from neuralop_jax.errors import ConfigError
from neuralop_jax.grids import Grid
from neuralop_jax.solvers._conjugate_gradient import FlexibleConjugateGradient
from neuralop_jax.solvers._finite_volumes import conductances, darcy_stencil, interior, lifted
from neuralop_jax.solvers._multigrid import Multigrid
from neuralop_jax.solvers._solution import LinearSolution

Scalar = Float[Array, "1 *space"]


def solve_darcy(
    permeability: Scalar,
    source: Scalar,
    grid: Grid,
    *,
    reaction: Scalar | None = None,
    boundary_values: Scalar | None = None,
    faces: str = "harmonic",
    rtol: float = 1e-8,
    max_steps: int = 100,
    throw: bool = True,
) -> LinearSolution:
    r"""The solution of $-\nabla\cdot(a\nabla u) + c\,u = f$ on a grid, second order in the spacing.

    Finite volumes around the points of the grid, solved by conjugate gradients with a multigrid cycle as preconditioner. On a
    Dirichlet axis the points include both ends, and $u$ is returned there exactly as prescribed; on a Neumann axis, where
    $\partial_n u = 0$, they are the centers of cells. Derivatives with respect to all fields are implicit: one more solve with
    the same cycle, forward or reverse, whatever the number of iterations; NaN where one of the two
    fails.

    **Arguments:**

    - `permeability`: $a > 0$ at the points of the grid, `(1, *space)`.
    - `source`: $f$ at the points; on Dirichlet boundaries its values do not matter.
    - `grid`: with the boundary condition of every axis.
    - `reaction`: $c \ge 0$, at the points; by default zero. Without it and without Dirichlet boundary only sources without mean
        have solutions, and that without mean is returned.
    - `boundary_values`: a field whose values at the Dirichlet boundary are prescribed; by default zero.
    - `faces`: the permeability between two points, their `"harmonic"` mean, which keeps the flux across jumps exact in layered
        media, or the `"arithmetic"` one.
    - `rtol`: the residual to reach, relative to the right-hand side in the 2-norm. Where round-off is larger, always in float32
        on fine grids, the solve ends at round-off.
    - `max_steps`: iterations at most. *Good values*: 10 to 20 suffice for contrasts up to 100, 40 for $10^4$.
    - `throw`: whether to raise unless converged.

    **Returns:** the solution, `value` of the shape of the source, with result code, iterations and true residual.

    **Raises:** `ConfigError` if the grid does not fit; `SolverError` if the solve failed and `throw` is true, inside `jax.jit` a
    run-time error. Both say what to change.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.grids import Grid
        from neuralop_jax.solvers import solve_darcy

        grid = Grid((65, 65), boundary=("dirichlet", "dirichlet"))
        one = jnp.ones((1, 65, 65))
        assert abs(solve_darcy(one, one, grid).value.max() - 0.07367) < 1e-4
        ```
    """
    _check(
        {"permeability": permeability, "source": source, "reaction": reaction, "boundary_values": boundary_values}, grid, faces
    )
    if not 0 < rtol < 1 or max_steps < 1:
        raise ConfigError(f"rtol must be between 0 and 1 and max_steps at least 1, got {rtol} and {max_steps}.")
    solution = _solve(permeability, source, reaction, boundary_values, grid, faces, rtol, max_steps)
    return solution.or_raise() if throw else solution


def solve_poisson(
    source: Scalar,
    grid: Grid,
    *,
    reaction: Scalar | None = None,
    boundary_values: Scalar | None = None,
    rtol: float = 1e-8,
    max_steps: int = 100,
    throw: bool = True,
) -> LinearSolution:
    r"""The solution of $-\Delta u + c\,u = f$ on a grid: `solve_darcy` with permeability 1; see there.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.grids import Grid
        from neuralop_jax.solvers import solve_poisson

        grid = Grid((33,), boundary=("dirichlet",))
        x = jnp.asarray(grid.coordinates()[0], jnp.float32)
        u = solve_poisson(jnp.full((1, 33), 2.0), grid).value
        assert jnp.allclose(u, x * (1 - x), atol=1e-5)
        ```
    """
    options = {"boundary_values": boundary_values, "rtol": rtol, "max_steps": max_steps, "throw": throw}
    return solve_darcy(jnp.ones_like(source), source, grid, reaction=reaction, **options)


def _check(fields: dict[str, Any], grid: Grid, faces: str) -> None:
    one_of("faces", faces, ("harmonic", "arithmetic"), ConfigError)
    for name, field in fields.items():
        if field is None and name in ("reaction", "boundary_values"):
            continue
        found = jnp.asarray(field)
        if found.shape != (1, *grid.shape) or found.dtype not in (jnp.float32, jnp.float64):
            raise ConfigError(
                f"{name} must be float32 or float64 of shape (1, *grid.shape) = {(1, *grid.shape)}, "
                f"got {found.dtype} {found.shape}. Map over samples with jax.vmap."
            )
    for name, kind, n, closed, centered in zip(grid.names, grid.boundary, grid.shape, grid.endpoint, grid.centered, strict=True):
        one_of(f"The boundary of axis {name!r}", kind, ("dirichlet", "neumann", "periodic"), ConfigError)
        if kind == "dirichlet" and (not closed or n < 3):
            raise ConfigError(f"The Dirichlet axis {name!r} must include both ends and a node between; see Grid.endpoint.")
        if kind == "neumann" and not centered:
            raise ConfigError(f"The points of the Neumann axis {name!r} must be centers of cells; see Grid.centered.")


@eqx.filter_jit
def _solve(permeability, source, reaction, boundary_values, grid, faces, rtol, max_steps) -> LinearSolution:
    """Set-up, right-hand side, solve, and the reasons for which its result is not to be believed."""
    squeeze = lambda field: None if field is None else field[0]
    stencil, nodes = darcy_stencil(permeability[0], grid, reaction=squeeze(reaction), faces=faces)
    singular = reaction is None and "dirichlet" not in grid.boundary
    multigrid = Multigrid(jax.lax.stop_gradient(stencil), nodes, singular=singular, dtype=jnp.float32)
    boundary = jnp.zeros_like(source[0]) if boundary_values is None else _without_interior(boundary_values[0], grid)
    f = interior(source[0], grid) + lifted(boundary, conductances(permeability[0], grid, faces), grid)
    mean = jnp.mean(f) if singular else jnp.zeros((), f.dtype)
    full = lambda u: stencil(u) if multigrid.shift is None else stencil(u) + multigrid.shift * jnp.mean(u)
    options = {"preconditioner": multigrid, "diagonal": multigrid.stencil.diagonal}
    u, stats = _solve_symmetric(full, f - mean, FlexibleConjugateGradient(rtol=rtol, max_steps=max_steps), options)

    result = stats["result"]
    tolerance = jnp.sqrt(jnp.finfo(f.dtype).eps) * jnp.mean(jnp.abs(f))
    result = jnp.where((result == SUCCESS) & (jnp.abs(mean) > tolerance), INCOMPATIBLE, result)
    positive = jnp.all(permeability > 0) & jnp.all(jnp.isfinite(permeability))
    if reaction is not None:
        positive &= jnp.all(reaction >= 0) & (("dirichlet" in grid.boundary) | jnp.any(reaction > 0))
    result = jnp.where(positive, result, NOT_POSITIVE)
    value = jnp.pad(u, [(int(kind == "dirichlet"),) * 2 for kind in grid.boundary]) + boundary
    return LinearSolution(value[None], result, stats["num_steps"], stats["relative_residual"])


def _solve_symmetric(
    product: Callable[[Array], Array], b: Array, solver: FlexibleConjugateGradient, options: dict[str, Any]
) -> tuple[Array, dict[str, Array]]:
    """The solution of $Au = b$, or the last iterate, with the statistics of the solver.

    A derivative, which is again a solve with $A$, is NaN if one of the two fails: unlike `lineax.linear_solve`, whose transpose
    raises, one sample does not stop a batch.
    """
    structure = jax.ShapeDtypeStruct(b.shape, b.dtype)

    def solve(product: Callable[[Array], Array], b: Array) -> tuple[Array, tuple[Array, dict[str, Array]]]:
        operator = lx.FunctionLinearOperator(product, structure, lx.positive_semidefinite_tag)
        u, _, stats = solver.compute(solver.init(operator, options), b, options)
        return jnp.where(stats["result"] == SUCCESS, u, jnp.nan), (u, stats)

    u, (last, stats) = jax.lax.custom_linear_solve(product, b, solve, symmetric=True, has_aux=True)
    return _with_derivative_of(last, u), stats


@jax.custom_jvp
def _with_derivative_of(value: Array, other: Array) -> Array:
    return value


@_with_derivative_of.defjvp
def _(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    return primals[0], tangents[1]


def _without_interior(field: Array, grid: Grid) -> Array:
    """The field with zeros at the unknowns."""
    return field.at[tuple(slice(1, -1) if kind == "dirichlet" else slice(None) for kind in grid.boundary)].set(0)
