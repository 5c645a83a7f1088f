"""Symmetries that many equations share, acting on sampled trajectories."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neuralop_jax.equations._base import Amount, Symmetry
from neuralop_jax.equations._fourier_basis import FourierBasis
from neuralop_jax.errors import SolverError
from neuralop_jax.grids import Grid


def translation(axis: int) -> Symmetry:
    r"""$u(t, x) \mapsto u(t, x - s e_j)$ by a distance $s$, in the unit of length, along a periodic axis."""

    def act(u: Array, times: Array, grid: Grid, amount: Amount) -> Array:
        return shift(u, grid, axis, amount * jnp.ones(len(u), u.dtype))

    return Symmetry(f"translation along axis {axis}", act)


def galilean(axis: int, channel: int = 0, factor: float | Array = 1.0) -> Symmetry:
    r"""$u(t, x) \mapsto u(t, x - \alpha s t e_j) + s$: the same motion seen by an observer who moves at the speed $-\alpha s$.

    The `factor` is that of the advection term, $\alpha\, u\, \partial_j u$.
    """

    def act(u: Array, times: Array, grid: Grid, amount: Amount) -> Array:
        moved = shift(u, grid, axis, factor * amount * times.astype(u.dtype))
        return moved.at[:, channel].add(jnp.asarray(amount, u.dtype))

    return Symmetry(f"Galilean boost along axis {axis}", act)


def reflection(axis: int, signs: tuple[int, ...]) -> Symmetry:
    r"""$u_c(t, x) \mapsto \sigma_c\, u_c(t, R_j x)$: one axis is reflected at its middle; `signs` are the $\sigma_c$."""

    def act(u: Array, times: Array, grid: Grid, amount: Amount) -> Array:
        return _mirror(u, grid, axis) * jnp.asarray(signs, u.dtype).reshape(1, -1, *(1,) * grid.num_dims)

    return Symmetry(f"reflection of axis {axis}", act, discrete=True)


def transposition(first: int, second: int, sign: int = 1, channels: tuple[int, ...] | None = None) -> Symmetry:
    r"""$u(t, x, y) \mapsto \sigma\, u(t, y, x)$, where both axes have the same points; `channels` are reordered as given."""

    def act(u: Array, times: Array, grid: Grid, amount: Amount) -> Array:
        for name in ("shape", "extent", "boundary", "centered", "endpoint"):
            found = getattr(grid, name)
            if found[first] != found[second]:
                raise SolverError(
                    f"axes {first} and {second} can be exchanged only if they are alike; their {name} is {found[first]} and "
                    f"{found[second]}. Take a square grid."
                )
        u = u if channels is None else u[:, np.asarray(channels)]
        return sign * jnp.swapaxes(u, first + 2, second + 2)

    return Symmetry(f"transposition of axes {first} and {second}", act, discrete=True)


def reversal(axis: int) -> Symmetry:
    r"""$u(t, x) \mapsto u(t_0 + t_1 - t, R_j x)$: time runs backward, one axis is reflected; for equally spaced times."""

    def act(u: Array, times: Array, grid: Grid, amount: Amount) -> Array:
        return jnp.flip(_mirror(u, grid, axis), 0)

    return Symmetry(f"reversal of time and of axis {axis}", act, discrete=True)


def offset(channel: int = 0) -> Symmetry:
    r"""$u \mapsto u + s$, where only derivatives of $u$ matter."""
    return Symmetry("offset", lambda u, times, grid, amount: u.at[:, channel].add(jnp.asarray(amount, u.dtype)))


def scaling() -> Symmetry:
    r"""$u \mapsto e^s u$, for linear equations."""
    return Symmetry("scaling", lambda u, times, grid, amount: u * jnp.exp(jnp.asarray(amount, u.dtype)))


def sign_change() -> Symmetry:
    r"""$u \mapsto -u$, where only odd powers of $u$ occur."""
    return Symmetry("change of sign", lambda u, times, grid, amount: -u, discrete=True)


def shift(
    u: Float[Array, "time channels *space"], grid: Grid, axis: int, distances: Float[Array, " time"]
) -> Float[Array, "time channels *space"]:
    """Every frame moved by its own distance along a periodic axis, by its trigonometric interpolant."""
    basis = FourierBasis(grid)
    slope = jnp.asarray(np.asarray(basis.slopes[axis]), u.dtype)[None]
    phase = distances.reshape(-1, *(1,) * grid.num_dims) * slope
    turned = basis.coefficients(u) * jnp.exp(-1j * phase)[:, None]
    return basis.field(turned).astype(u.dtype)


def _mirror(u: Array, grid: Grid, axis: int) -> Array:
    """The values at the mirrored points; on a periodic axis that starts with a point, this point stays."""
    stays = grid.boundary[axis] == "periodic" and not grid.centered[axis]
    return jnp.roll(jnp.flip(u, axis + 2), 1 if stays else 0, axis + 2)
