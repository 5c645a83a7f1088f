"""Relaxation: a few cheap steps that remove the oscillating part of the error of a linear system."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from neuralop_jax.kernels._space import SPACE, block_start, is_divided, space_sum
from neuralop_jax.kernels._stencil import Stencil


class AbstractSmoother(eqx.Module):
    """One relaxation step `smoother(stencil, u, f)` for $Au = f$, linear in `(u, f)`; `u=None` stands for zero and costs less.

    With `reverse=True` it is the adjoint step: if the step multiplies the error by $I - M^{-1}A$, the adjoint one does by
    $I - M^{-\top}A$. A cycle that ends with the adjoint of how it began is symmetric, as conjugate gradients need.
    """

    @abc.abstractmethod
    def __call__(
        self, stencil: Stencil, u: Float[Array, "*space"] | None, f: Float[Array, "*space"], *, reverse: bool = False
    ) -> Float[Array, "*space"]: ...


class Jacobi(AbstractSmoother):
    r"""Weighted Jacobi, $u \leftarrow u + \omega D^{-1}(f - Au)$.

    **Arguments:**

    - `weight`: $\omega$; by default 2/3, 4/5 and 6/7 in one, two and three dimensions, which smooth a Laplacian best.

    **Source:** Trottenberg, Oosterlee, Schüller, *Multigrid*, Academic Press 2001, section 2.1.
    """

    weight: float | None = None

    def __call__(
        self, stencil: Stencil, u: Float[Array, "*space"] | None, f: Float[Array, "*space"], *, reverse: bool = False
    ) -> Float[Array, "*space"]:
        weight = 2 * f.ndim / (2 * f.ndim + 1) if self.weight is None else self.weight
        return weight * f / stencil.diagonal if u is None else u + weight * stencil.residual(u, f) / stencil.diagonal


class GaussSeidel(AbstractSmoother):
    r"""Gauss-Seidel by colors: $u \leftarrow u + D^{-1}(f - Au)$ at the points of one color after the other.

    Two colors (red-black, by the sum of the indices) for stencils of $2d + 1$ points, $2^d$ colors (by the indices' parities) for
    those with corners. Around a periodic axis of odd size two neighbors share a color; they are relaxed together.

    **Arguments:**

    - `first`: the color that begins, `"red"` (to which the kept points of a Dirichlet grid belong) or `"black"`.
    """

    first: str = eqx.field(default="red", static=True)

    def __call__(
        self, stencil: Stencil, u: Float[Array, "*space"] | None, f: Float[Array, "*space"], *, reverse: bool = False
    ) -> Float[Array, "*space"]:
        colors = _colors(f.shape, compact=stencil.is_compact)
        for color in colors if (self.first == "red") != reverse else reversed(colors):
            update = f / stencil.diagonal if u is None else u + stencil.residual(u, f) / stencil.diagonal
            u = jnp.where(color, update, jnp.zeros_like(f) if u is None else u)
        return u if u is not None else jnp.zeros_like(f)


class Chebyshev(AbstractSmoother):
    r"""The Chebyshev polynomial of $D^{-1}A$ that is smallest over $[\lambda/4, \lambda]$, $\lambda$ its largest eigenvalue.

    **Arguments:**

    - `degree`: of the polynomial, one application of $A$ each. *Good values*: 2 or 3.
    - `largest`: $\lambda$; 2 for a Laplacian. `largest_eigenvalue` estimates it.

    **Source:** Adams, Brezina, Hu, Tuminaro, J. Comput. Phys. 188 (2003).
    """

    degree: int = eqx.field(default=2, static=True)
    largest: Float[Array, ""] | float = 2.0

    def __call__(
        self, stencil: Stencil, u: Float[Array, "*space"] | None, f: Float[Array, "*space"], *, reverse: bool = False
    ) -> Float[Array, "*space"]:
        center, radius = 0.625 * self.largest, 0.375 * self.largest
        ratio = radius / center
        residual = f if u is None else stencil.residual(u, f)
        step = residual / (center * stencil.diagonal)
        u = step if u is None else u + step
        for _ in range(self.degree - 1):
            following = 1 / (2 * center / radius - ratio)
            step = following * ratio * step + 2 * following / radius * stencil.residual(u, f) / stencil.diagonal
            u, ratio = u + step, following
        return u


def largest_eigenvalue(stencil: Stencil, shape: tuple[int, ...], *, num_steps: int = 10) -> Float[Array, ""]:
    r"""An estimate of the largest eigenvalue of $D^{-1}A$ from below, by power iteration on a fixed random field.

    **Arguments:**

    - `stencil`: $A$, symmetric and positive semidefinite with a positive diagonal $D$.
    - `shape`: of the fields; of their blocks where devices share the domain.
    - `num_steps`: for Laplacians in up to three dimensions 10 come within 9 percent of it, 40 within 3. *Good values*: 10, and
        1.1 times the estimate where a bound from above is wanted, as for `Chebyshev`.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.kernels import diffusion_stencil, largest_eigenvalue

        laplacian = diffusion_stencil([jnp.ones((1, 1))] * 2, periodic=(False, False))
        exact = 1 + jnp.cos(jnp.pi / 16)  # of the highest wave, sin(15 pi i / 16) sin(15 pi j / 16)
        rough, close = (largest_eigenvalue(laplacian, (15, 15), num_steps=steps) for steps in (10, 40))
        assert 0.93 * exact < rough < close < exact < 1.1 * rough
        ```
    """
    root = jnp.sqrt(jnp.broadcast_to(stencil.diagonal, shape))
    key = jax.random.key(0)
    if is_divided():
        key = jax.random.fold_in(key, jax.lax.axis_index(SPACE))  # not the same field in every block
    norm_of = lambda u: jnp.sqrt(space_sum(jnp.sum(u * u)))

    def step(u: Array, _: None) -> tuple[Array, Array]:
        v = stencil(u / root) / root  # similar to D^-1 A and symmetric, so that norms converge twice as fast
        norm = norm_of(v)
        return v / norm, norm

    start = jax.random.normal(key, shape, root.dtype) + 0 * root  # varying where the coefficients do, as what follows
    return jax.lax.scan(step, start / norm_of(start), length=num_steps)[1][-1]


def _colors(shape: tuple[int, ...], *, compact: bool) -> list[Bool[Array, "*space"]]:
    """One mask per color; the first one contains the points all of whose indices are odd."""
    indices = [jax.lax.broadcasted_iota(jnp.int32, shape, axis) for axis in range(len(shape))]
    if is_divided():
        indices[0] = indices[0] + block_start(shape[0])
    parities = [index % 2 for index in indices]
    if compact:
        color, count = (sum(parities[1:], parities[0]) + len(shape)) % 2, 2
    else:
        color, count = sum(((1 - p) << axis for axis, p in enumerate(parities[1:], 1)), 1 - parities[0]), 2 ** len(shape)
    return [color == k for k in range(count)]
