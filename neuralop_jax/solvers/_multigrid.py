"""Geometric multigrid for stencils on any grid: as an iteration, as a preconditioner, and as full multigrid."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float

from neuralop_jax._checks import one_of
from neuralop_jax._result import DIVERGED, MAX_STEPS, NONFINITE, RUNNING, SUCCESS
from neuralop_jax.errors import ConfigError
from neuralop_jax.kernels import SPACE, is_divided, space_size
from neuralop_jax.kernels._galerkin import galerkin
from neuralop_jax.kernels._grid_transfer import AxisNodes
from neuralop_jax.kernels._multigrid import cycle, full_multigrid
from neuralop_jax.kernels._smoothers import AbstractSmoother, Chebyshev
from neuralop_jax.kernels._stencil import Stencil
from neuralop_jax.solvers._levels import CoarsestLevel, GridLevel, to_coarsen
from neuralop_jax.solvers._solution import LinearSolution


class Multigrid(eqx.Module):
    r"""One multigrid cycle $u = Bf$ for the stencil $A$, with $B \approx A^{-1}$, on a grid of any size.

    Set up from arrays, also inside `jax.jit`. Every level keeps every other point of the axes along which points are nearest to
    each other, so that stretched grids become evenly spaced first.

    **Arguments:**

    - `stencil`: $A$.
    - `nodes`: the axes of its grid.
    - `coarse`: the coarse stencils from fine to coarse; by default the Galerkin products, which need no assumption on sizes and
        coefficients. Rediscretized operators can make the iteration diverge where coefficients jump.
    - `smoother`: by default `Chebyshev(2)`, which needs the fewest operations for a solve by conjugate gradients.
    - `num_pre`, `num_post`: smoothing steps before and after the coarse correction.
    - `kind`: `"V"`, `"W"` or `"F"`.
    - `symmetric`: whether post-smoothing is the adjoint of pre-smoothing, as a preconditioner of conjugate gradients must be.
        Otherwise both are the same, which contracts faster with Gauss-Seidel.
    - `weighting`: `"full"`, or `"half"` for red-black Gauss-Seidel.
    - `coarsest`: unknowns that are solved for directly.
    - `singular`: whether $A$ maps constants to zero, as it does without Dirichlet boundary and reaction. Then
        $Au + \sigma \bar u$, with the mean $\bar u$, is treated instead; where $f$ has no mean, its solution solves $Au = f$.
    - `dtype`: precision of the cycle, whatever that of the fields. float32 halves the time of a cycle and costs conjugate
        gradients in float64 no step.

    **Raises:** `ConfigError` if `kind` or `weighting` is unknown, or where devices share the domain.

    **Source:** Trottenberg, Oosterlee, Schüller, *Multigrid*, Academic Press 2001.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.kernels import AxisNodes, diffusion_stencil
        from neuralop_jax.solvers import Multigrid

        laplacian = diffusion_stencil([jnp.full((1, 1), 64.0**2)] * 2, periodic=(False, False))
        multigrid = Multigrid(laplacian, [AxisNodes(63, "dirichlet")] * 2)
        solution = multigrid.solve(jnp.ones((63, 63)), rtol=1e-5)
        assert solution.successful and solution.num_steps < 10
        ```
    """

    stencil: Stencil
    levels: tuple[GridLevel | CoarsestLevel, ...]
    shift: Float[Array, ""] | None
    shape: tuple[int, ...] = eqx.field(static=True)
    kind: str = eqx.field(static=True)

    def __init__(
        self,
        stencil: Stencil,
        nodes: Sequence[AxisNodes],
        *,
        coarse: Sequence[Stencil] | None = None,
        smoother: AbstractSmoother | None = None,
        num_pre: int = 1,
        num_post: int = 1,
        kind: str = "V",
        symmetric: bool = True,
        weighting: str = "full",
        coarsest: int = 100,
        singular: bool = False,
        dtype: jnp.dtype | type | None = None,
    ):
        if is_divided():
            raise ConfigError(
                f"Multigrid needs the whole domain, which is divided among {space_size()} devices. Solve outside of the "
                f"shard_map, or on a mesh with one device along {SPACE!r}."
            )
        one_of("Multigrid.kind", kind, ("V", "W", "F"), ConfigError)
        one_of("Multigrid.weighting", weighting, ("full", "half"), ConfigError)
        self.stencil, self.kind = stencil, kind
        self.shape = tuple(line.size for line in nodes)
        self.shift = jnp.mean(stencil.diagonal) if singular else None
        smoother = Chebyshev() if smoother is None else smoother
        level = stencil if dtype is None else stencil.astype(dtype)
        given = None if coarse is None else iter(coarse)
        levels: list[GridLevel | CoarsestLevel] = []
        while (chosen := to_coarsen(nodes, coarsest)) is not None:
            levels.append(GridLevel(level, smoother, chosen, num_pre, num_post, symmetric, weighting))
            level = _galerkin_apart(level, chosen) if given is None else next(given).astype(level.diagonal.dtype)
            nodes = [line if kept is None else kept.coarse() for line, kept in zip(nodes, chosen, strict=True)]
        self.levels = (*levels, CoarsestLevel.of(level, [line.size for line in nodes], singular=singular))

    def __call__(self, f: Float[Array, "*space"]) -> Float[Array, "*space"]:
        """One cycle from zero, linear in `f`."""
        dtype = self.levels[0].dtype
        if self.shift is None:
            return cycle(self.levels, f.astype(dtype), kind=self.kind).astype(f.dtype)
        mean = jnp.mean(f)
        u = cycle(self.levels, (f - mean).astype(dtype), kind=self.kind).astype(f.dtype)
        return u - jnp.mean(u) + mean / self.shift

    def operator(self, u: Float[Array, "*space"]) -> Float[Array, "*space"]:
        r"""$Au$, or $Au + \sigma\bar u$ if $A$ is singular."""
        return self.stencil(u) if self.shift is None else self.stencil(u) + self.shift * jnp.mean(u)

    def preconditioner(self) -> lx.FunctionLinearOperator:
        """The cycle as a symmetric positive definite operator for Lineax.

        **Raises:** `ConfigError` if the cycle is not symmetric.
        """
        if any(isinstance(k, GridLevel) and not (k.symmetric and k.num_pre == k.num_post) for k in self.levels):
            raise ConfigError("A multigrid preconditioner needs symmetric=True and num_pre equal to num_post.")
        structure = jax.ShapeDtypeStruct(self.shape, self.stencil.diagonal.dtype)
        return lx.FunctionLinearOperator(self, structure, lx.positive_semidefinite_tag)

    def solve(
        self,
        f: Float[Array, "*space"],
        u: Float[Array, "*space"] | None = None,
        *,
        rtol: float = 1e-8,
        max_steps: int = 100,
        throw: bool = True,
    ) -> LinearSolution:
        r"""The iteration $u \leftarrow u + B(f - Au)$ until $\|f - Au\|_2 \le \text{rtol}\,\|f\|_2$.

        Without conjugate gradients it may diverge where coefficients jump: it ends with a result code when the residual has
        grown a thousandfold.

        **Arguments:**

        - `f`: the right-hand side.
        - `u`: the start, by default zero.
        - `rtol`: relative tolerance. A residual below its own round-off, $\varepsilon\|Du\|_2$, counts as converged too.
        - `max_steps`: cycles at most.
        - `throw`: whether to raise unless converged.

        **Returns:** the solution, with its true residual.

        **Raises:** `SolverError` if it did not converge and `throw` is true; inside `jax.jit` a run-time error.
        """
        norm_of = lambda r: jnp.linalg.norm(r.ravel())
        scale = norm_of(f)
        round_off = lambda u: jnp.finfo(f.dtype).eps * norm_of(self.stencil.diagonal * u)
        target = lambda u: jnp.maximum(rtol * scale, round_off(u))
        limit = lambda first: 1e3 * jnp.maximum(first, scale)

        def step(carry: tuple) -> tuple:
            u, r, norm, first, count, _ = carry
            new = u + self(r)
            r_new = f - self.operator(new)
            norm_new = norm_of(r_new)
            going = jnp.where(norm_new <= target(new), SUCCESS, jnp.where(count + 1 < max_steps, RUNNING, MAX_STEPS))
            fine = norm_new <= limit(first)  # false for NaN
            kept = jax.tree.map(lambda a, b: jnp.where(jnp.isfinite(norm_new), a, b), (new, r_new, norm_new), (u, r, norm))
            return *kept, first, count + 1, jnp.where(fine, going, DIVERGED)

        u = jnp.zeros_like(f) if u is None else u
        r = f - self.operator(u)
        norm = norm_of(r)
        code = jnp.where(jnp.isfinite(norm), jnp.where(norm <= target(u), SUCCESS, RUNNING), NONFINITE)
        carry = (u, r, norm, norm, jnp.zeros((), code.dtype), code)
        u, _, norm, _, count, code = jax.lax.while_loop(lambda carry: carry[-1] == RUNNING, step, carry)
        solution = LinearSolution(u, code, count, norm / jnp.where(scale > 0, scale, 1))
        return solution.or_raise() if throw else solution

    def full_multigrid(self, f: Float[Array, "*space"], *, cycles: int = 1) -> Float[Array, "*space"]:
        """The solution to about the discretization error by full multigrid with `cycles` cycles per level."""
        return full_multigrid(self.levels, f.astype(self.levels[0].dtype), cycles=cycles, kind=self.kind).astype(f.dtype)


def _galerkin_apart(stencil: Stencil, nodes: tuple[AxisNodes | None, ...]) -> Stencil:
    """`galerkin` as a branch of its own, which XLA does not merge with those of other levels.

    Merged, the arithmetic of a level is repeated in every use of the next: a hierarchy for 421 points per axis then takes three
    times as long to compile. A zero in the diagonal, which has no smoother, gives NaN.
    """
    build = lambda fine: galerkin(fine, nodes)
    nothing = lambda fine: jax.tree.map(lambda a: jnp.full(a.shape, jnp.nan, a.dtype), jax.eval_shape(build, fine))
    return jax.lax.cond(jnp.ravel(stencil.diagonal)[0] != 0, build, nothing, stencil)
