"""The levels of classical geometric multigrid, as `kernels.cycle` uses them."""

import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuralop_jax.kernels._grid_transfer import AxisNodes, cubic_interpolate, half_weighting, interpolate, restrict
from neuralop_jax.kernels._smoothers import AbstractSmoother
from neuralop_jax.kernels._stencil import Stencil


class GridLevel(eqx.Module):
    """A level with a coarser one below it: a stencil, its smoother, and linear interpolation with its transpose."""

    stencil: Stencil
    smoother: AbstractSmoother
    nodes: tuple[AxisNodes | None, ...] = eqx.field(static=True)
    num_pre: int = eqx.field(static=True)
    num_post: int = eqx.field(static=True)
    symmetric: bool = eqx.field(static=True)
    weighting: str = eqx.field(static=True)

    @property
    def dtype(self) -> jnp.dtype:
        return self.stencil.diagonal.dtype

    def pre_smooth(self, u: Array | None, f: Array) -> Array | None:
        for _ in range(self.num_pre):
            u = self.smoother(self.stencil, u, f)
        return u

    def descend(self, u: Array | None, f: Array) -> tuple[None, Array]:
        return None, self.restrict(f if u is None else self.stencil.residual(u, f))

    def ascend(self, u: Array | None, coarse: Array) -> Array:
        correction = interpolate(coarse, self.nodes)
        return correction if u is None else u + correction

    def post_smooth(self, u: Array, f: Array) -> Array:
        for _ in range(self.num_post):
            u = self.smoother(self.stencil, u, f, reverse=self.symmetric)
        return u

    def restrict(self, f: Array) -> Array:
        return (restrict if self.weighting == "full" else half_weighting)(f, self.nodes)

    def raise_solution(self, u: Array) -> Array:
        return cubic_interpolate(u, self.nodes)


class CoarsestLevel(eqx.Module):
    """The last level, solved by the inverse of its matrix; not finite if the matrix is not positive definite."""

    inverse: Float[Array, "unknowns unknowns"]

    @classmethod
    def of(cls, stencil: Stencil, shape: Sequence[int], *, singular: bool) -> "CoarsestLevel":
        """The level of a stencil for fields of `shape`; a singular one is inverted on fields without mean."""
        matrix = stencil.matrix(shape)
        if singular:
            matrix = matrix + jnp.trace(matrix) / len(matrix) ** 2
        factor = jax.scipy.linalg.cho_factor(matrix, lower=True)
        return cls(jax.scipy.linalg.cho_solve(factor, jnp.eye(len(matrix), dtype=matrix.dtype)))

    @property
    def dtype(self) -> jnp.dtype:
        return self.inverse.dtype

    def solve(self, u: Array | None, f: Array) -> Array:
        return (self.inverse @ f.ravel()).reshape(f.shape)


def to_coarsen(nodes: Sequence[AxisNodes], coarsest: int) -> tuple[AxisNodes | None, ...] | None:
    """The axes to coarsen: the long ones with the smallest spacing; nothing if the grid is small enough."""
    long = [line for line in nodes if line.size >= 3]
    if not long or math.prod(line.size for line in nodes) <= coarsest:
        return None
    nearest = min(line.spacing for line in long)
    return tuple(line if line in long and line.spacing < 1.5 * nearest else None for line in nodes)
