"""Losses that compare the prediction for one sample with its target."""

from collections.abc import Callable

import jax
from jaxtyping import Array, Float

from neuralop_jax import metrics
from neuralop_jax._typing import Field
from neuralop_jax.grids import Grid
from neuralop_jax.kernels import space_mean


def relative_l2(prediction: Field, target: Field, grid: Grid | None = None) -> Float[Array, ""]:
    r"""$\lVert e\rVert_2/\lVert y\rVert_2$ of the error $e$ against the target $y$, over all channels and points together.

    The gradient is finite everywhere: it is zero where the error vanishes, and a target that vanishes everywhere has the root
    mean square of the error in place of the relative one.

    **Arguments:**

    - `prediction`, `target`: `(channels, *space)`, real or complex.
    - `grid`: does not matter.

    **Source:** Li et al. 2021, arXiv:2010.08895, section 5.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.losses import relative_l2

        target = jnp.ones((1, 8))
        assert jnp.allclose(relative_l2(0.5 * target, target), 0.5)
        ```
    """
    return metrics.relative_l2(prediction, target, grid, joint=True)[0]


def relative_h1(prediction: Field, target: Field, grid: Grid | None = None) -> Float[Array, ""]:
    r"""$\sqrt{(\lVert e\rVert^2 + \lVert\nabla e\rVert^2)/(\lVert y\rVert^2 + \lVert\nabla y\rVert^2)}$ over all channels.

    Derivatives, arguments and the rule for a vanishing target are those of `metrics.relative_h1`: without a `grid`, differences
    of second order on the unit box.
    """
    return metrics.relative_h1(prediction, target, grid, joint=True)[0]


def difference_h1(prediction: Field, target: Field, grid: Grid | None = None) -> Float[Array, ""]:
    r"""`relative_h1` with central differences on periodic axes, too: the training loss of the tensorized FNO.

    **Source:** Kossaifi et al. 2023, arXiv:2310.00120. On periodic axes this is the `H1Loss` of neuraloperator.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.grids import Grid
        from neuralop_jax.losses import difference_h1, relative_h1

        grid = Grid((16,), boundary=("periodic",))
        target = jnp.ones((1, 16))
        short = target + 0.1 * jnp.cos(2 * jnp.pi * 7 * jnp.arange(16) / 16)
        assert difference_h1(short, target, grid) < 0.2 * relative_h1(short, target, grid)  # differences hardly see it
        ```
    """
    return metrics.relative_h1(prediction, target, grid, joint=True, spectral=False)[0]


def truncated_h1(prediction: Field, target: Field, grid: Grid | None = None, *, k_max: int | None = 20) -> Float[Array, ""]:
    r"""$\lVert w\hat e\rVert/\lVert w\hat y\rVert$ with $w(k)^2 = 1 + \sum_i [\lvert k_i\rvert < k_\text{max}]\, k_i^2$ over all
    channels, as `metrics.truncated_h1`: the training loss of MgNO.
    """
    return metrics.truncated_h1(prediction, target, grid, k_max=k_max, joint=True)[0]


def mse(prediction: Field, target: Field, grid: Grid | None = None) -> Float[Array, ""]:
    r"""The mean of $\lvert e\rvert^2$ over channels and points, in the square of the target's unit; `grid` does not matter.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.losses import mse

        assert mse(jnp.full((2, 4), 3.0), jnp.ones((2, 4))) == 4
        ```
    """
    return metrics.mse(prediction, target, grid, joint=True)[0]


def cross_entropy(prediction: Field, target: Field, grid: Grid | None = None) -> Float[Array, ""]:
    r"""$-\sum_c y_c \log p_c$ with $p = \operatorname{softmax}$ of the prediction over the channels, averaged over the points.

    For classes: the target is 1 in the channel of the class and 0 in the others, the prediction holds the logits.

    **Arguments:**

    - `prediction`, `target`: `(classes, *space)`, real.
    - `grid`: does not matter.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.losses import cross_entropy

        assert jnp.allclose(cross_entropy(jnp.zeros((4, 8)), jnp.zeros((4, 8)).at[1].set(1)), jnp.log(4))
        ```
    """
    entropy = -(target * jax.nn.log_softmax(prediction, axis=0)).sum(axis=0)
    return space_mean(entropy, range(entropy.ndim))


LOSSES: dict[str, Callable[..., Array]] = {
    "relative_l2": relative_l2,
    "relative_h1": relative_h1,
    "difference_h1": difference_h1,
    "truncated_h1": truncated_h1,
    "mse": mse,
    "cross_entropy": cross_entropy,
}
"""Every loss of a sample that a configuration can name."""
