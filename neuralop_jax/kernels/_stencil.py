"""Linear operators with few neighbors per unknown: static offsets, one coefficient array per offset."""

import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuralop_jax.kernels._halo import window
from neuralop_jax.kernels._space import is_divided

Offset = tuple[int, ...]


class Stencil(eqx.Module):
    r"""The operator $(Au)_i = \sum_o a_o(i)\, u_{i+o}$ over the offsets $o \in \{-1, 0, 1\}^d$, as a map of fields `(*space)`.

    Beyond the end of an axis $u$ is zero, unless the axis is periodic. A Dirichlet condition is therefore nothing but the absence
    of the boundary nodes, a Neumann condition the absence of the coefficients that would point there. Where devices share the
    domain, fields are blocks, and a block sees the edges of its neighbors.

    **Arguments:**

    - `coefficients`: one array per offset, of the shape of the fields or broadcastable to it, `(1, ..., 1)` for a constant.
    - `offsets`: distinct offsets, the center $(0, \dots, 0)$ first.
    - `periodic`: per axis.

    **Returns:** when called with `u`, the field $Au$.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.kernels import diffusion_stencil

        second_difference = diffusion_stencil((jnp.ones(1),), periodic=(False,))
        assert second_difference(jnp.asarray([0.0, 1.0, 0.0])).tolist() == [-1.0, 2.0, -1.0]
        ```
    """

    coefficients: tuple[Float[Array, "..."], ...]
    offsets: tuple[Offset, ...] = eqx.field(static=True)
    periodic: tuple[bool, ...] = eqx.field(static=True)

    def __call__(self, u: Float[Array, "*space"]) -> Float[Array, "*space"]:
        padded = _halo(u, self.periodic)
        pairs = zip(self.coefficients, self.offsets, strict=True)
        return sum((a * _shifted(padded, o, u.shape) for a, o in pairs), jnp.zeros_like(u))

    def residual(self, u: Float[Array, "*space"], f: Float[Array, "*space"]) -> Float[Array, "*space"]:
        """The residual $f - Au$."""
        return f - self(u)

    @property
    def diagonal(self) -> Float[Array, "..."]:
        """The coefficient of the center, of the shape of a field or broadcastable to it."""
        return self.coefficients[0]

    @property
    def is_compact(self) -> bool:
        """Whether only neighbors along the axes are coupled, so that two colors suffice."""
        return all(sum(map(abs, offset)) <= 1 for offset in self.offsets)

    def matrix(self, shape: Sequence[int]) -> Float[Array, "unknowns unknowns"]:
        """The dense matrix for fields of `shape`, for grids of at most some hundred unknowns."""
        size = math.prod(shape)
        columns = jax.vmap(self)(jnp.eye(size, dtype=self.diagonal.dtype).reshape(size, *shape))
        return columns.reshape(size, size).T

    def astype(self, dtype: jnp.dtype | type) -> "Stencil":
        """The same operator with coefficients of another precision."""
        return Stencil(tuple(a.astype(dtype) for a in self.coefficients), self.offsets, self.periodic)


def diffusion_stencil(
    faces: Sequence[Float[Array, "..."]], reaction: Float[Array, "..."] | None = None, *, periodic: Sequence[bool]
) -> Stencil:
    r"""The finite-volume operator $(Au)_i = \sum_k k_{i+e_k/2}(u_i - u_{i+e_k}) + k_{i-e_k/2}(u_i - u_{i-e_k}) + c_i u_i$.

    **Arguments:**

    - `faces`: per axis the conductances $a/h^2$ of the faces, with $N + 1$ entries on that axis, those of both ends included, and
        $N$ or one on the others; or one entry on every axis, for a constant. A zero at an end makes a Neumann condition there.
    - `reaction`: $c$, of the shape of the fields or broadcastable to it.
    - `periodic`: per axis; first and last face are then the same one.

    **Returns:** the stencil of $2d + 1$ points.
    """
    dims = len(faces)
    center = jnp.zeros((1,) * dims, faces[0].dtype) if reaction is None else reaction
    coefficients, offsets = [], []
    for axis, face in enumerate(faces):
        for sign, part in ((-1, slice(0, -1)), (1, slice(1, None))):
            side = face if face.shape[axis] == 1 else along(face, axis, part)
            center = center + side
            coefficients.append(-side)
            offsets.append(tuple(sign * (k == axis) for k in range(dims)))
    return Stencil((center, *coefficients), ((0,) * dims, *offsets), tuple(periodic))


def along(x: Array, axis: int, part: slice | int) -> Array:
    """`x` indexed on one axis."""
    return x[(slice(None),) * axis + (part,)]


def widened(u: Array, axis: int, before: int, after: int, *, wraps: bool = False) -> Array:
    """`u` with more points on one axis: zeros, or what comes next around a periodic one."""
    width = [(before, after) if k == axis else (0, 0) for k in range(u.ndim)]
    return jnp.pad(u, width, mode="wrap" if wraps else "constant")


def _halo(u: Array, periodic: tuple[bool, ...]) -> Array:
    """The field with one more layer on every side: zeros, or what comes next, around a periodic axis or on another device."""
    layers = [1] * u.ndim
    if is_divided():
        u, layers[0] = window(u, 0, -1, u.shape[0] + 2, boundary="periodic" if periodic[0] else "zeros"), 0
    axes = list(zip(periodic, layers, strict=True))
    padded = jnp.pad(u, [(0 if wraps else layer,) * 2 for wraps, layer in axes])
    return jnp.pad(padded, [(layer if wraps else 0,) * 2 for wraps, layer in axes], mode="wrap") if any(periodic) else padded


def _shifted(padded: Array, offset: Offset, shape: tuple[int, ...]) -> Array:
    return padded[tuple(slice(1 + o, 1 + o + n) for o, n in zip(offset, shape, strict=True))]
