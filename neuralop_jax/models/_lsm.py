"""Latent spectral models: a U-shaped convolutional network whose scales meet in a few latent tokens per patch."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError
from neuralop_jax.layers import ChannelMLP, LatentUNet, append_coordinates, patch_and_padding
from neuralop_jax.layers._activation import check_activation
from neuralop_jax.models._on_grids import AbstractGridOperator
from neuralop_jax.models._options import Depth, check_per_axis, check_sizes
from neuralop_jax.models._resolution import ResolutionClaim


class LSM(AbstractGridOperator):
    r"""A latent spectral model: $Q \circ U \circ P\,(u, x)$ with neural spectral blocks at every scale of a U-shaped network $U$.

    $P$ lifts channels and coordinates on $[0, 1]$ (both ends) to `width`, the grid is padded with zeros at its far ends, $U$
    goes down by max pooling through the widths $d, 2d, 4d, \dots$ (the last two are equal) and up by linear interpolation; what
    it passes from one side to the other goes through a `NeuralSpectralBlock`. $Q$ projects through `projection_channels`.

    The patches of the blocks are the same number of points at every scale. With `patch=None` they are chosen by the grid so that
    the finest scale holds $2^{S-1}$ patches per axis and the coarsest one: $\lceil n / 2^{S-1} \rceil$ points, after padding to
    a multiple. On a finer grid the patches are then the same parts of the domain; the convolutions are not.

    **Arguments:** (keyword-only; all but `key` are kept and make the model's `spec_of`)

    - `in_channels`, `out_channels`: channels of input and output function.
    - `num_dims`: number of space axes, 1 to 3.
    - `width`: $d$, a multiple of `num_heads`. *Good values:* 32 to 64.
    - `num_scales`: $S$; 5 as published, for grids of 32 points per axis and more. *Good values:* 4 for 16 to 32 points, so that
      a patch has two.
    - `num_tokens`, `num_basis`, `num_heads`, `frequencies`: see `NeuralSpectralBlock`.
    - `patch`: points of a patch, one number or one per axis; `None` computes them from the grid, with the published values on the
      published grids.
    - `padding`: points of zeros after the end of each axis, one number or one per axis; `None` pads until the patches fit all
      scales.
    - `norm`: `"group"`, `"instance"` or `"batch"`, see `DoubleConvolution`. Published: `"batch"`, later for evolution in time
      `"instance"`, which needs more than one point per axis at the coarsest scale.
    - `coordinates`: whether they are appended to the input.
    - `lifting_channels`, `lifting_activation`: hidden channels of $P$ and the activation there; 0 makes $P$ affine.
    - `projection_channels`: hidden channels of $Q$, whose activation is GELU.
    - `key`: initial weights.

    **Raises:** `ConfigError` for options that do not fit; `ModelInputError` on a grid that given patches do not divide.

    **Source:** Wu et al. 2023, arXiv:2301.12664, and published code. Differs: group norm by default.

    !!! example

        ```python
        import equinox as eqx, jax, jax.numpy as jnp
        from neuralop_jax.models import LSM

        model = LSM(in_channels=1, out_channels=1, num_dims=2, width=8, num_scales=4, key=jax.random.key(0))
        assert eqx.filter_jit(model)(jnp.ones((1, 17, 16))).shape == (1, 17, 16)
        ```
    """

    resolution = ResolutionClaim("none", "its kernels cover points of the grid, not lengths")
    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    num_dims: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    num_scales: int = eqx.field(static=True)
    num_tokens: int = eqx.field(static=True)
    num_basis: int = eqx.field(static=True)
    num_heads: int = eqx.field(static=True)
    frequencies: str = eqx.field(static=True)
    patch: int | tuple[int, ...] | None = eqx.field(static=True)
    padding: int | tuple[int, ...] | None = eqx.field(static=True)
    norm: str = eqx.field(static=True)
    coordinates: bool = eqx.field(static=True)
    lifting_channels: int = eqx.field(static=True)
    lifting_activation: str = eqx.field(static=True)
    projection_channels: int = eqx.field(static=True)
    lifting: ChannelMLP
    network: LatentUNet
    projection: ChannelMLP

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        num_dims: int,
        width: int = 32,
        num_scales: Depth = 5,
        num_tokens: int = 4,
        num_basis: int = 12,
        num_heads: int = 8,
        frequencies: str = "released",
        patch: int | Sequence[int] | None = None,
        padding: int | Sequence[int] | None = None,
        norm: str = "group",
        coordinates: bool = True,
        lifting_channels: int = 0,
        lifting_activation: str = "gelu",
        projection_channels: int = 128,
        key: PRNGKey,
    ):
        check_activation(lifting_activation)
        check_sizes(
            in_channels=in_channels, out_channels=out_channels, num_dims=num_dims, projection_channels=projection_channels
        )
        check_sizes(width=width, num_scales=num_scales, num_tokens=num_tokens, num_basis=num_basis, num_heads=num_heads)
        if num_dims > 3:
            raise ConfigError(f"num_dims must be 1 to 3, got {num_dims}.")
        if lifting_channels:
            check_sizes(lifting_channels=lifting_channels)
        if patch is not None:
            check_per_axis("patch", patch, num_dims, least=1, most=2**15, whole=True)
        if padding is not None:
            check_per_axis("padding", padding, num_dims, least=0, most=2**15, whole=True)
        self.in_channels, self.out_channels, self.num_dims, self.width = in_channels, out_channels, num_dims, width
        self.num_scales, self.num_tokens, self.num_basis, self.num_heads = num_scales, num_tokens, num_basis, num_heads
        self.frequencies, self.norm, self.coordinates = frequencies, norm, coordinates
        self.patch = tuple(patch) if isinstance(patch, Sequence) else patch
        self.padding = tuple(padding) if isinstance(padding, Sequence) else padding
        self.lifting_channels, self.lifting_activation = lifting_channels, lifting_activation
        self.projection_channels = projection_channels
        lifting_key, network_key, projection_key = jax.random.split(key, 3)
        lifted = in_channels + (num_dims if coordinates else 0)
        sizes = (lifted, lifting_channels, width) if lifting_channels else (lifted, width)
        self.lifting = ChannelMLP(sizes, activation=lifting_activation, key=lifting_key)
        self.network = LatentUNet(
            num_dims,
            width,
            num_scales=num_scales,
            num_tokens=num_tokens,
            num_basis=num_basis,
            num_heads=num_heads,
            frequencies=frequencies,
            norm=norm,
            key=network_key,
        )
        self.projection = ChannelMLP((width, projection_channels, out_channels), key=projection_key)

    def evaluate(
        self,
        u: Float[Array, "in_channels *batch_space"],
        p: Float[Array, "*batch parameters"] | None = None,
        *,
        key: PRNGKey | None = None,
    ) -> Float[Array, "out_channels *batch_space"]:
        """The output for `(channels, *batch, *space)`; `p` is not read, and of `key` only whether it is there."""
        space = u.shape[u.ndim - self.num_dims :]
        patch, padding = patch_and_padding(space, self.num_scales, self.patch, self.padding, model="LSM")
        v = self.lifting(append_coordinates(u, self.num_dims, endpoint=True) if self.coordinates else u)
        v = jnp.pad(v, ((0, 0),) * (v.ndim - self.num_dims) + tuple((0, w) for w in padding))
        v = self.network(v, patch, training=key is not None)
        return self.projection(v[(..., *(slice(n) for n in space))])
