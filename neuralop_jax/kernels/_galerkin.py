"""The Galerkin coarse operator of a stencil."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from neuralop_jax.kernels._grid_transfer import AxisNodes, Nodes, on_axis
from neuralop_jax.kernels._stencil import Offset, Stencil, along


def galerkin(stencil: Stencil, nodes: Nodes) -> Stencil:
    r"""The operator $RAP$ with $P$ of `interpolate` and $R$ of `restrict`, a stencil of $3^d$ points, symmetric if $A$ is.

    One axis after the other, since $P$ is a product over the axes. Along an axis every dropped point lies between two kept ones,
    so that three points couple to three again; the coefficients are combined as whole arrays.

    **Arguments:**

    - `stencil`: $A$, within $3^d$ points.
    - `nodes`: the axes of the finer grid; `None` on an axis that is not coarsened.

    **Returns:** the stencil on the coarser grid.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.kernels import AxisNodes, diffusion_stencil, galerkin

        fine = diffusion_stencil((jnp.ones(1),), periodic=(False,))
        center, left, right = galerkin(fine, [AxisNodes(7, "dirichlet")]).coefficients
        assert center.tolist() == [0.5] * 3 and right.tolist() == [-0.25] * 3  # a quarter of the finer one: twice the spacing
        ```
    """
    shape = [1 if line is None else line.size for line in nodes]
    stencil = Stencil(
        tuple(jnp.broadcast_to(a, jnp.broadcast_shapes(a.shape, tuple(shape))) for a in stencil.coefficients),
        stencil.offsets,
        stencil.periodic,
    )
    for axis, line in enumerate(nodes):
        if line is not None:
            stencil = _galerkin_along(stencil, axis, line)
    return stencil


def _galerkin_along(stencil: Stencil, axis: int, line: AxisNodes) -> Stencil:
    """The product along one axis, for every offset across it on its own.

    The loop over these keeps XLA from computing the coefficients of one level anew within those of the next, level within level.
    """
    across = lambda offset, step: (*offset[:axis], step, *offset[axis + 1 :])
    table = dict(zip(stencil.offsets, stencil.coefficients, strict=True))
    others = sorted({across(offset, 0) for offset in table}, key=_center_first)
    zero = jnp.zeros_like(stencil.diagonal)
    rows = jnp.stack([jnp.stack([table.get(across(other, step), zero) for step in (-1, 0, 1)]) for other in others])
    rows = jax.lax.map(lambda row: jnp.stack(_coarsen(row, axis, line)), rows)
    coarse = {across(other, step): rows[k, 1 + step] for k, other in enumerate(others) for step in (-1, 0, 1)}
    offsets = sorted(coarse, key=_center_first)
    return Stencil(tuple(coarse[o] for o in offsets), tuple(offsets), stencil.periodic)


def _center_first(offset: Offset) -> tuple[bool, Offset]:
    return any(offset), offset


def _coarsen(row: Array, axis: int, line: AxisNodes) -> tuple[Array, Array, Array]:
    """The coefficients toward left, center and right of the kept points, from those of all points, `(3, *space)`."""
    (kept_left, kept_center, kept_right), (left, center, right) = line.split(row, axis + 1)
    by_left, by_right = (on_axis(w, axis, center) for w in line.weights())
    # A dropped row of A P: the columns of the kept points before and after it.
    before, after = left + center * by_left, center * by_right + right
    here, there = (lambda x: along(x, axis, slice(0, -1))), (lambda x: along(x, axis, slice(1, None)))
    kept = kept_center + kept_left * here(by_right) + kept_right * there(by_left)
    return (
        0.5 * (kept_left * here(by_left) + here(by_right * before)),
        0.5 * (kept + here(by_right * after) + there(by_left * before)),
        0.5 * (kept_right * there(by_right) + there(by_left * after)),
    )
