"""A loss of every patch of a field by itself."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuralop_jax._typing import Field
from neuralop_jax.grids import Grid
from neuralop_jax.kernels import cut, space_mean, undivided


def per_patch(compare: Callable[..., Float[Array, ""]], levels: int) -> Callable[..., Float[Array, ""]]:
    r"""The mean of a loss over the $2^L$ patches per axis into which prediction and target are cut, without padding.

    A relative loss then has the norm of each patch below it: quiet regions weigh as much as others. This is training without
    stitching of the multi-grid domain decomposition, for any operator; `models.MultigridPatches` with as many `levels` is the
    one whose patches these are.

    **Arguments:**

    - `compare`: `compare(prediction, target, grid)` of fields `(channels, *space)`, such as `losses.relative_l2`. The grid of a
        patch has the spacing of the whole one, and no axis is periodic.
    - `levels`: $L$; 0 leaves the field whole.

    **Returns:** a loss of the same kind, `loss(prediction, target, grid=None)`, which raises `ValueError` for fields that cannot
    be cut. Where devices share the domain, each compares the patches of its block.

    **Raises:** the loss, `ConfigError` where devices share the domain.

    **Source:** Kossaifi et al. 2023, arXiv:2310.00120; `stitching=False` of `MultigridPatching2D` of neuraloperator. Differs: the
    mean over the patches, where that code adds them up or not as the loss says; the spacing of a patch is that of the field.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.losses import per_patch, relative_l2

        target = jnp.asarray([[1.0, 1.0, 10.0, 10.0]])
        prediction = jnp.asarray([[2.0, 2.0, 10.0, 10.0]])
        assert jnp.allclose(per_patch(relative_l2, 1)(prediction, target), 0.5)
        ```
    """
    if levels == 0:
        return compare

    def loss(prediction: Field, target: Field, grid: Grid | None = None) -> Float[Array, ""]:
        part = None if grid is None else _part(grid, levels)
        prediction, target = (jnp.moveaxis(cut(u[:, None], 2**levels), 1, 0) for u in (prediction, target))
        values = undivided(jax.vmap(lambda v, y: compare(v, y, part)))(prediction, target)
        return space_mean(values, (0,))

    return loss


def _part(grid: Grid, levels: int) -> Grid:
    """The grid of one patch: the same spacing, open ends."""
    shape = tuple(n // 2**levels for n in grid.shape)
    extent = tuple((0.0, n * h) for n, h in zip(shape, grid.spacing, strict=True))
    return Grid(shape, extent, endpoint=(False,) * grid.num_dims, names=grid.names, unit=grid.unit)
