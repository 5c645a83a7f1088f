"""The U-shaped convolutional network of latent spectral models, and the patches that its scales share."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.kernels import max_pool, upsample
from neuralop_jax.layers._double_convolution import DoubleConvolution
from neuralop_jax.layers._neural_spectral_block import NeuralSpectralBlock
from neuralop_jax.layers._pointwise import Pointwise

_MOST_SCALES = 12


class LatentUNet(eqx.Module):
    r"""The U-shaped network of a latent spectral model: a field of `width` channels to another one on the same grid.

    It goes down by max pooling through the widths $d, 2d, 4d, \dots$ (the last two are equal) and up by linear interpolation;
    what it passes from one side to the other goes through a `NeuralSpectralBlock`.

    **Arguments:**

    - `num_dims`: number of space axes.
    - `width`: $d$, a multiple of `num_heads`.
    - `num_scales`: grids, each with half the points per axis of the one before.
    - `num_tokens`, `num_basis`, `num_heads`, `frequencies`: see `NeuralSpectralBlock`.
    - `norm`: see `DoubleConvolution`.
    - `key`: initial weights.

    **Raises:** `ConfigError` for more scales than any grid has, or options that its layers refuse.

    !!! example

        ```python
        import equinox as eqx, jax, jax.numpy as jnp
        from neuralop_jax.layers import LatentUNet

        sizes = {"num_scales": 2, "num_tokens": 2, "num_basis": 2, "num_heads": 1}
        network = LatentUNet(1, 4, **sizes, frequencies="integer", norm="group", key=jax.random.key(0))
        assert eqx.filter_jit(network)(jnp.ones((4, 16)), (8,)).shape == (4, 16)
        ```
    """

    down: tuple[DoubleConvolution, ...]
    across: tuple[NeuralSpectralBlock, ...]
    up: tuple[DoubleConvolution, ...]
    mix: Pointwise
    num_dims: int = eqx.field(static=True)

    def __init__(
        self,
        num_dims: int,
        width: int,
        *,
        num_scales: int,
        num_tokens: int,
        num_basis: int,
        num_heads: int,
        frequencies: str,
        norm: str,
        key: PRNGKey,
    ):
        if num_scales > _MOST_SCALES:
            raise ConfigError(f"num_scales must be at most {_MOST_SCALES}, got {num_scales}.")
        widths = [width * 2 ** max(min(scale, num_scales - 2), 0) for scale in range(num_scales)]
        mix_key, *keys = jax.random.split(key, 1 + 3 * num_scales)
        down, across, up = keys[:num_scales], keys[num_scales : 2 * num_scales], keys[2 * num_scales : -1]
        finer = [width, *widths[:-1]]
        self.down = tuple(
            DoubleConvolution(num_dims, (before, after, after), norm=norm, key=k)
            for before, after, k in zip(finer, widths, down, strict=True)
        )
        options = {"num_tokens": num_tokens, "num_basis": num_basis, "num_heads": num_heads}
        self.across = tuple(
            NeuralSpectralBlock(size, **options, frequencies=frequencies, key=k) for size, k in zip(widths, across, strict=True)
        )
        self.up = tuple(
            DoubleConvolution(num_dims, (2 * size, size, after), norm=norm, key=k)
            for size, after, k in zip(widths[:-1], finer[:-1], up, strict=True)
        )
        self.mix = Pointwise(width, width, key=mix_key)
        self.num_dims = num_dims

    def __call__(
        self, u: Float[Array, "width *batch_space"], patch: Sequence[int], *, training: bool = False
    ) -> Float[Array, "width *batch_space"]:
        """The field for one sample or several, `(width, *batch, *space)`; `patch` divides the grid at every scale."""
        fields = [self.down[0](u, training=training)]
        for step in self.down[1:]:
            fields.append(step(max_pool(fields[-1], self.num_dims), training=training))
        v = self.across[-1](fields[-1], patch)
        for step, block, field in reversed(list(zip(self.up, self.across, fields, strict=False))):
            v = self._centered(upsample(v, self.num_dims), field.shape)
            v = step(jnp.concatenate([block(field, patch), v]), training=training)
        return self.mix(v)

    def _centered(self, u: Array, shape: tuple[int, ...]) -> Array:
        """`u` with zeros around it to the space axes of `shape`, which has one point more where pooling left one out."""
        missing = [n - m for n, m in zip(shape[-self.num_dims :], u.shape[-self.num_dims :], strict=True)]
        if not any(missing):
            return u
        return jnp.pad(u, ((0, 0),) * (u.ndim - self.num_dims) + tuple((m // 2, m - m // 2) for m in missing))


def patch_and_padding(
    shape: Sequence[int],
    num_scales: int,
    patch: int | Sequence[int] | None = None,
    padding: int | Sequence[int] | None = None,
    *,
    model: str = "LatentUNet",
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    r"""The points of a patch, and the zeros after the end, on each axis of a grid of this `shape`.

    By default $2^{S-1}$ patches of $\lceil n / 2^{S-1} \rceil$ points cover an axis of $n$ points at the finest of $S$ scales.

    **Arguments:**

    - `shape`: points per axis.
    - `num_scales`: $S$.
    - `patch`, `padding`: given instead of computed, one number or one per axis.
    - `model`: whose grid it is, for the message.

    **Raises:** `ModelInputError` if what is given does not fit: at every scale, patches must divide the grid.

    !!! example

        ```python
        from neuralop_jax.layers import patch_and_padding

        assert patch_and_padding((43, 64), 3) == ((11, 16), (1, 0))  # four patches of 11 points hold 43 and one zero
        ```
    """
    dims, count = len(shape), 2 ** (num_scales - 1)
    given = None if padding is None else padding if isinstance(padding, Sequence) else (padding,) * dims
    padded = tuple(shape) if given is None else tuple(n + w for n, w in zip(shape, given, strict=True))
    if patch is None:
        sizes = tuple(-(-n // count) for n in padded)
    else:
        sizes = tuple(patch) if isinstance(patch, Sequence) else (patch,) * dims
    if given is None:
        padded = tuple(-(-n // (count * size)) * count * size for n, size in zip(shape, sizes, strict=True))
    for scale in range(num_scales):
        points = tuple(n >> scale for n in padded)
        if any(n < size or n % size for n, size in zip(points, sizes, strict=True)):
            raise ModelInputError(
                f"{model}: patches of {sizes} points do not divide the {points} points of scale {scale} of {num_scales} on a "
                f"grid of {tuple(shape)} with padding {given}. Leave patch and padding out to have them computed."
            )
    return sizes, tuple(n - m for n, m in zip(padded, shape, strict=True))
