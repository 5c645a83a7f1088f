"""Between a grid and the one that keeps every other point: interpolation and its transpose, along any axes, for any size."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neuralop_jax.kernels._stencil import along, diffusion_stencil, widened


@dataclasses.dataclass(frozen=True)
class AxisNodes:
    r"""The unknowns along one axis, any number of them, and which of them the next coarser grid keeps.

    Every other point is kept: indices 1, 3, 5, ... of the interior nodes of a Dirichlet axis and of the cell centers of a Neumann
    axis, indices 0, 2, 4, ... of a periodic one. Neighbors are `spacing` apart but at the right end, where the distance to the
    boundary node, or around to the first node, is `last` spacings: 1 on a user's grid, less where the size did not halve evenly.

    **Arguments:**

    - `size`: number of unknowns.
    - `boundary`: `"dirichlet"`, `"neumann"` or `"periodic"`.
    - `spacing`: distance of neighbors.
    - `last`: the last distance, in spacings; without meaning on a Neumann axis.
    """

    size: int
    boundary: str
    spacing: float = 1.0
    last: float = 1.0

    @property
    def wraps(self) -> bool:
        """Whether the axis is periodic."""
        return self.boundary == "periodic"

    @property
    def num_kept(self) -> int:
        """Number of unknowns of the coarser axis."""
        return (self.size + self.wraps) // 2

    @property
    def is_even_split(self) -> bool:
        """Whether a dropped point follows the last one kept, so that the end of the axis is coarsened like its middle."""
        return self.size % 2 == (0 if self.wraps else 1)

    def coarse(self) -> "AxisNodes":
        """The axis of the points kept."""
        return AxisNodes(self.num_kept, self.boundary, 2 * self.spacing, (self.is_even_split + self.last) / 2)

    def weights(self) -> tuple[np.ndarray, np.ndarray]:
        r"""$(l_j, r_j)$, $0 \le j \le N_c$, of the interpolation $l_j u_{j-1} + r_j u_j$ between the kept points $j-1$ and $j$.

        The weight of a boundary node is zero since $u$ vanishes there; toward a Neumann boundary values are continued constantly.
        Where no point was dropped between $j-1$ and $j$, the weights are those of the kept point itself as its neighbor sees it.
        """
        left, right = np.full(self.num_kept + 1, 0.5), np.full(self.num_kept + 1, 0.5)
        if self.wraps and self.is_even_split:
            left[[0, -1]], right[[0, -1]] = self.last / (1 + self.last), 1 / (1 + self.last)
        elif self.wraps:
            left[[0, -1]], right[[0, -1]] = (1, 0), (0, 1)
        elif self.boundary == "dirichlet":
            left[[0, -1]], right[[0, -1]] = (0, self.last / (1 + self.last) if self.is_even_split else 0), (0.5, 0)
        else:
            left[[0, -1]], right[[0, -1]] = (0, self.is_even_split), (1, 0)
        return left, right

    def split(self, u: Array, axis: int) -> tuple[Array, Array]:
        """The kept values, and the dropped ones: number `j` of these lies left of kept value `j`; zeros where there is none."""
        kept, dropped = (along(u, axis, slice(start, None, 2)) for start in ((0, 1) if self.wraps else (1, 0)))
        missing = self.num_kept + (not self.wraps) - dropped.shape[axis]
        dropped = widened(dropped, axis, 0, missing)
        return kept, jnp.concatenate([along(dropped, axis, slice(-1, None)), dropped], axis) if self.wraps else dropped


Nodes = Sequence[AxisNodes | None]
"""The axes of the finer grid; `None` where the coarser grid keeps every point."""


def interpolate(u: Float[Array, "*coarse"], nodes: Nodes) -> Float[Array, "*fine"]:
    r"""The field $Pu$ on the finer grid, (bi-, tri-)linear between the points of the coarser one, by their distances.

    **Arguments:**

    - `u`: values on the coarser grid.
    - `nodes`: the axes of the finer grid; `None` on an axis that both grids share.

    **Returns:** values on the finer grid.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.kernels import AxisNodes, interpolate

        fine = interpolate(jnp.asarray([1.0, 2.0]), [AxisNodes(5, "dirichlet")])
        assert fine.tolist() == [0.5, 1.0, 1.5, 2.0, 1.0]
        ```
    """
    for axis, line in enumerate(nodes):
        if line is not None:
            left, right = (on_axis(w, axis, u) for w in line.weights())
            padded = widened(u, axis, 1, 1, wraps=line.wraps)
            before, after = along(padded, axis, slice(0, -1)), along(padded, axis, slice(1, None))
            u = _merge(u, left * before + right * after, axis, line)
    return u


def restrict(r: Float[Array, "*fine"], nodes: Nodes) -> Float[Array, "*coarse"]:
    r"""The full weighting $Rr = 2^{-d} P^\top r$: in two dimensions $\tfrac1{16}[1\,2\,1]\otimes[1\,2\,1]$ at the points kept.

    $d$ counts the coarsened axes.

    **Arguments:** as in `interpolate`, but values on the finer grid.

    **Returns:** values on the coarser grid.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.kernels import AxisNodes, cubic_interpolate, restrict

        nodes = [AxisNodes(5, "dirichlet")]
        assert restrict(jnp.asarray([0.0, 4.0, 0.0, 0.0, 0.0]), nodes).tolist() == [2, 0]
        assert cubic_interpolate(jnp.asarray([1.0, 1.0]), nodes).shape == (5,)
        ```
    """
    shape = tuple(n if line is None else line.num_kept for line, n in zip(nodes, r.shape, strict=True))
    transpose = jax.linear_transpose(lambda u: interpolate(u, nodes), jax.ShapeDtypeStruct(shape, r.dtype))
    return transpose(r)[0] * 0.5 ** sum(line is not None for line in nodes)


def half_weighting(r: Float[Array, "*fine"], nodes: Nodes) -> Float[Array, "*coarse"]:
    r"""Half of the value at a kept point plus $\tfrac{1}{4d}$ of each of its $2d$ neighbors; all axes are coarsened.

    Beyond the ends of an axis that is not periodic values are zero. Only with red-black relaxation, after which the residual
    vanishes at one color: if that of the neighbors, what is left is half of the residual at the kept points.

    **Arguments:** as in `restrict`.

    **Returns:** values on the coarser grid.

    **Raises:** `ValueError` where an axis is not coarsened.

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from neuralop_jax.kernels import AxisNodes, GaussSeidel, diffusion_stencil, half_weighting

        laplacian = diffusion_stencil([jnp.ones((1, 1))] * 2, periodic=(False, False))
        after = jax.jit(lambda f: laplacian.residual(GaussSeidel()(laplacian, None, f), f))  # zero at the points relaxed last
        nodes, residual = [AxisNodes(7, "dirichlet")] * 2, after(jnp.arange(49.0).reshape(7, 7))
        assert (half_weighting(residual, nodes) == residual[1::2, 1::2] / 2).all() and residual[1, 1] != 0
        assert (half_weighting(jnp.ones((7, 7)), nodes) == 1).all()
        ```
    """
    lines = [line for line in nodes if line is not None]
    if len(lines) < len(nodes):
        raise ValueError("half weighting coarsens every axis at once; take full weighting where spacings differ.")
    weight = jnp.full((1,) * r.ndim, -0.25 / r.ndim, r.dtype)
    mean = diffusion_stencil([weight] * r.ndim, jnp.ones_like(weight), periodic=[line.wraps for line in lines])
    return mean(r)[tuple(slice(0 if line.wraps else 1, None, 2) for line in lines)]


def cubic_interpolate(u: Float[Array, "*coarse"], nodes: Nodes) -> Float[Array, "*fine"]:
    r"""As `interpolate`, but by the cubic polynomial through the four nearest points: the initial values of full multigrid.

    Dirichlet boundary nodes, where $u = 0$, count as points; fields are continued evenly beyond a Neumann boundary. An axis with
    fewer than three kept points is interpolated linearly.
    """
    for axis, line in enumerate(nodes):
        if line is None or line.num_kept < 3:
            u = interpolate(u, [line if k == axis else None for k in range(u.ndim)])
            continue
        reach, count = 3, line.num_kept + 1
        padded = widened(u, axis, reach, reach, wraps=line.wraps)
        weights = [on_axis(w, axis, u) for w in _cubic_weights(line, reach)]
        between = sum((w * along(padded, axis, slice(k, k + count)) for k, w in enumerate(weights)), jnp.zeros((), u.dtype))
        u = _merge(u, between, axis, line)
    return u


def cell_average(u: Float[Array, "*fine"]) -> Float[Array, "*coarse"]:
    r"""The mean over blocks of $2^d$ cells of a field of even sizes: $2^{-d}$ times the transpose of constant interpolation.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.kernels import cell_average

        assert cell_average(jnp.asarray([1.0, 3.0, 5.0, 5.0])).tolist() == [2.0, 5.0]
        ```
    """
    return u.reshape([part for n in u.shape for part in (n // 2, 2)]).mean(range(1, 2 * u.ndim, 2))


def on_axis(values: np.ndarray, axis: int, like: Array) -> Array:
    """A vector laid along one axis, to be multiplied with fields."""
    return jnp.asarray(values, like.dtype).reshape([-1 if k == axis else 1 for k in range(like.ndim)])


def _merge(kept: Array, dropped: Array, axis: int, line: AxisNodes) -> Array:
    """The inverse of `AxisNodes.split`."""
    count = kept.shape[axis]
    if line.wraps:
        pair = (kept, along(dropped, axis, slice(1, None)))
    else:
        kept = widened(kept, axis, 0, line.size % 2)
        pair = (along(dropped, axis, slice(0, count + line.size % 2)), kept)
    woven = jnp.stack(pair, axis + 1)
    woven = woven.reshape(*woven.shape[:axis], -1, *woven.shape[axis + 2 :])
    return along(woven, axis, slice(0, line.size))


def _cubic_weights(line: AxisNodes, reach: int) -> np.ndarray:
    """The weights `(2 * reach, N_c + 1)` of the kept points `j - reach, ..., j + reach - 1` for the dropped point `j`."""
    count = line.num_kept
    kept = np.arange(line.size, dtype=np.float64)[0 if line.wraps else 1 :: 2]
    end = line.size - 1 + line.last
    if line.wraps:  # points of the neighboring periods
        points, owners = np.concatenate([kept[-reach:] - end, kept, kept[:reach] + end]), list(range(-reach, count + reach))
    elif line.boundary == "neumann":  # mirror images at the faces -1/2 and N-1/2
        points = np.concatenate([-1 - kept[1::-1], kept, 2 * line.size - 1 - kept[:-3:-1]])
        owners = [1, 0, *range(count), count - 1, count - 2]
    else:  # boundary nodes, where the field vanishes
        points, owners = np.concatenate([[-1.0], kept, [end]]), [None, *range(count), None]
    weights = np.zeros((2 * reach, count + 1))
    for j in range(count + 1):
        x = 2.0 * j - line.wraps
        if 0 <= x <= line.size - 1 or line.wraps:
            nearest = np.argsort(np.abs(points - x), kind="stable")[:4]
            for k in nearest:
                others = points[nearest[nearest != k]]
                if owners[k] is not None:
                    weights[owners[k] - j + reach, j] += np.prod((x - others) / (points[k] - others))
    return weights
