"""Symmetries that many equations share, acting on sampled trajectories."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neuralop_jax.equations._base import Symmetry
from neuralop_jax.equations._fourier_basis import FourierBasis
from neuralop_jax.grids import Grid


def translation(axis: int) -> Symmetry:
    r"""$u(t, x) \mapsto u(t, x - s e_j)$ by a distance $s$, in the unit of length, along a periodic axis."""

    def act(u: Array, times: Array, grid: Grid, amount: float) -> Array:
        return shift(u, grid, axis, amount * jnp.ones(len(u), u.dtype))

    return Symmetry(f"translation along axis {axis}", act)


def galilean(axis: int, channel: int = 0) -> Symmetry:
    r"""$u(t, x) \mapsto u(t, x - s t e_j) + s$: the same motion seen by an observer who moves at the speed $-s$."""

    def act(u: Array, times: Array, grid: Grid, amount: float) -> Array:
        moved = shift(u, grid, axis, amount * times.astype(u.dtype))
        return moved.at[:, channel].add(amount)

    return Symmetry(f"Galilean boost along axis {axis}", act)


def reflection(axis: int, signs: tuple[int, ...]) -> Symmetry:
    r"""$u_c(t, x) \mapsto \sigma_c\, u_c(t, R_j x)$: one periodic axis is reflected at its start; `signs` are the $\sigma_c$."""

    def act(u: Array, times: Array, grid: Grid, amount: float) -> Array:
        place = axis + 2
        mirrored = jnp.roll(jnp.flip(u, place), 0 if grid.centered[axis] else 1, place)
        return mirrored * jnp.asarray(signs, u.dtype).reshape(1, -1, *(1,) * grid.num_dims)

    return Symmetry(f"reflection of axis {axis}", act, discrete=True)


def shift(
    u: Float[Array, "time channels *space"], grid: Grid, axis: int, distances: Float[Array, " time"]
) -> Float[Array, "time channels *space"]:
    """Every frame moved by its own distance along a periodic axis, by its trigonometric interpolant."""
    basis = FourierBasis(grid)
    slope = jnp.asarray(np.asarray(basis.slopes[axis]), u.dtype)[None]
    phase = distances.reshape(-1, *(1,) * grid.num_dims) * slope
    turned = basis.coefficients(u) * jnp.exp(-1j * phase)[:, None]
    return basis.field(turned).astype(u.dtype)
