"""The multigrid cycle over any levels, classical or learned, and full multigrid."""

from collections.abc import Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array


class Level(Protocol):
    """What `cycle` asks of a level; `u` is the iterate, `f` the right-hand side, and `u=None` a zero iterate.

    The last level only needs `solve`, the others the rest. `descend` poses the problem of the next coarser level: the classical
    one is `(None, restrict(f - A u))`, a correction to be started from zero, and then `ascend` adds its interpolation. A learned
    level may pass on a restricted iterate and any right-hand side.
    """

    def pre_smooth(self, u: Any, f: Any) -> Any: ...

    def descend(self, u: Any, f: Any) -> tuple[Any, Any]: ...

    def ascend(self, u: Any, coarse: Any) -> Any: ...

    def post_smooth(self, u: Any, f: Any) -> Any: ...

    def solve(self, u: Any, f: Any) -> Any: ...


def cycle(levels: Sequence[Any], f: Array, u: Array | None = None, *, kind: str = "V") -> Array:
    r"""One multigrid cycle for $Au = f$, from the finest level down to the coarsest and back.

    The levels are unrolled when the function is traced; the repeated visits of a W-cycle are a loop of length two, so that its
    program is no longer than that of a V-cycle.

    **Arguments:**

    - `levels`: from fine to coarse, objects with the methods of `Level`.
    - `f`: the right-hand side on the finest level.
    - `u`: the iterate, by default zero.
    - `kind`: `"V"`, `"W"` (every coarser problem is treated twice), or `"F"` (once by an F-cycle, then by a V-cycle).

    **Returns:** the new iterate.
    """
    level, *coarser = levels
    if not coarser:
        return level.solve(u, f)
    u = level.pre_smooth(u, f)
    coarse, right = level.descend(u, f)
    if kind == "V" or len(coarser) == 1:
        coarse = cycle(coarser, right, coarse)
    elif kind == "F":
        coarse = cycle(coarser, right, cycle(coarser, right, coarse, kind="F"))
    else:
        start = jnp.zeros_like(right) if coarse is None else coarse
        coarse = jax.lax.fori_loop(0, 2, lambda _, v: cycle(coarser, right, v, kind="W"), start)
    return level.post_smooth(level.ascend(u, coarse), f)


def full_multigrid(levels: Sequence[Any], f: Array, *, cycles: int = 1, kind: str = "V") -> Array:
    r"""Full multigrid: the coarsest problem solved, then from level to level interpolated and improved by `cycles` cycles.

    With one or two cycles the algebraic error is below the discretization error, at a cost proportional to the unknowns.

    **Arguments:**

    - `levels`: as in `cycle`, with two more methods: `restrict(f)` of a right-hand side and `raise_solution(u)`, an interpolation
        of higher order than `ascend`.
    - `f`: the right-hand side on the finest level.
    - `cycles`: per level.
    - `kind`: of the cycles.

    **Returns:** the solution on the finest level.

    **Source:** Trottenberg, Oosterlee, Schüller, *Multigrid*, Academic Press 2001, section 2.6.

    Below, $-u'' = \pi^2 \sin \pi x$. The solution is the sine, that of the discrete problem $\pi^2/\lambda$ times it, where
    $\lambda = 4h^{-2} \sin^2(\pi h/2)$. One cycle per level comes much closer to that than that is to the sine:

    !!! example

        ```python
        import jax, jax.numpy as jnp, numpy as np
        from neuralop_jax.kernels import AxisNodes, Jacobi, diffusion_stencil, full_multigrid
        from neuralop_jax.solvers import Multigrid

        h, sine = 1 / 16, np.sin(np.pi * np.arange(1, 16) / 16)
        laplacian, nodes = diffusion_stencil([jnp.full(1, h**-2)], periodic=(False,)), [AxisNodes(15, "dirichlet")]
        levels = lambda: Multigrid(laplacian, nodes, smoother=Jacobi(), coarsest=7).levels  # of 15 and 7 unknowns
        u = jax.jit(lambda f: full_multigrid(levels(), f))(np.pi**2 * sine)
        discrete = np.pi**2 / (4 / h**2 * np.sin(np.pi * h / 2) ** 2) * sine
        assert np.max(np.abs(u - discrete)) < 0.1 * np.max(np.abs(discrete - sine))
        ```
    """
    sides = [f]
    for level in levels[:-1]:
        sides.append(level.restrict(sides[-1]))
    u = levels[-1].solve(None, sides[-1])
    for k in reversed(range(len(levels) - 1)):
        u = levels[k].raise_solution(u)
        for _ in range(cycles):
            u = cycle(levels[k:], sides[k], u, kind=kind)
    return u
