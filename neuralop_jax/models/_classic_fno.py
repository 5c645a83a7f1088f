"""The Fourier neural operator as first published."""

from collections.abc import Sequence
from typing import Literal

import equinox as eqx
import jax
from jaxtyping import Array, Float, Inexact

from neuralop_jax._checks import one_of
from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError
from neuralop_jax.kernels._transform import Transform
from neuralop_jax.layers import ChannelMLP, FourierBlock, append_coordinates, crop_domain, pad_domain
from neuralop_jax.layers._activation import check_activation
from neuralop_jax.models._on_grids import AbstractGridOperator
from neuralop_jax.models._options import Depth, check_per_axis, check_sizes, modes_per_axis
from neuralop_jax.models._resolution import ResolutionClaim


class ClassicFNO(AbstractGridOperator):
    r"""The first Fourier neural operator: $v_{l+1} = \sigma(W_l v_l + b_l + \mathcal F^{-1} R_l \mathcal F v_l)$.

    Affine lifting, `depth` blocks with $\sigma$ left out in the last, projection through 128 channels, coordinates on
    $[0, 1]$ with both ends, zeros appended at the end of every axis.

    **Arguments:**

    - `in_channels`, `out_channels`, `n_modes`, `num_dims`, `width`, `depth`, `transform`, `key`: as in `FNO`. The paper's $k$
      modes are `n_modes` $2k$ on full axes and $2(k-1)$ on the last.
    - `activation`: `"gelu"` as in the later scripts; the paper used `"relu"`.
    - `norm`: `None`, or `"group"` or `"instance"` after every spectral convolution.
    - `padding`: points of zeros after the end of each axis: one number or one per axis; 9 for Darcy in the published scripts.
    - `init`: `"normal"` as in `FNO`, or `"li2020"`: both parts uniform on $[0, 1/w^2)$, as in the published scripts.

    **Source:** Li et al. 2021, arXiv:2010.08895, section 4 and published scripts.

    !!! example

        ```python
        import equinox as eqx, jax, jax.numpy as jnp
        from neuralop_jax.models import ClassicFNO

        model = ClassicFNO(in_channels=1, out_channels=1, n_modes=(24, 22), padding=9, key=jax.random.key(0))
        assert eqx.filter_jit(model)(jnp.ones((1, 29, 29))).shape == (1, 29, 29)
        ```
    """

    divisible = True
    resolution = ResolutionClaim("none", "its coordinates include both ends of the box")
    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    n_modes: tuple[int, ...] = eqx.field(static=True)
    num_dims: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    depth: int = eqx.field(static=True)
    activation: str = eqx.field(static=True)
    norm: str | None = eqx.field(static=True)
    padding: int | tuple[int, ...] = eqx.field(static=True)
    init: str = eqx.field(static=True)
    transform: Transform = eqx.field(static=True)
    lifting: ChannelMLP
    blocks: tuple[FourierBlock, ...]
    projection: ChannelMLP

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        n_modes: int | Sequence[int],
        num_dims: int | None = None,
        width: int = 32,
        depth: Depth = 4,
        activation: str = "gelu",
        norm: Literal["instance", "group"] | None = None,
        padding: int | Sequence[int] = 0,
        init: Literal["normal", "li2020"] = "normal",
        transform: Transform = "auto",
        key: PRNGKey,
    ):
        check_activation(activation)
        check_sizes(in_channels=in_channels, out_channels=out_channels, width=width, depth=depth)
        one_of("norm", norm, (None, "instance", "group"), ConfigError)
        one_of("transform", transform, ("auto", "fft", "dft"), ConfigError)
        one_of("init", init, ("normal", "li2020"), ConfigError)
        self.in_channels, self.out_channels, self.width, self.depth = in_channels, out_channels, width, depth
        self.n_modes = modes_per_axis("n_modes", n_modes, num_dims)
        self.num_dims, self.activation, self.norm, self.init = len(self.n_modes), activation, norm, init
        self.padding = tuple(padding) if isinstance(padding, Sequence) else padding
        check_per_axis("padding", padding, self.num_dims, least=0, most=2**15, whole=True)
        self.transform = transform
        lifting_key, projection_key, *block_keys = jax.random.split(key, depth + 2)
        self.lifting = ChannelMLP((in_channels + self.num_dims, width), key=lifting_key)
        self.projection = ChannelMLP((width, 128, out_channels), activation=activation, key=projection_key)
        blocks = tuple(
            FourierBlock(
                width,
                self.n_modes,
                bypass_bias=True,
                channel_mlp=False,
                activation=activation,
                norm=norm,
                spectral_bias=False,
                transform=transform,
                last=index == depth - 1,
                key=block_key,
            )
            for index, block_key in enumerate(block_keys)
        )
        self.blocks = blocks if init == "normal" else _uniform(blocks, width, jax.random.fold_in(key, depth + 2))

    def evaluate(
        self,
        u: Inexact[Array, "in_channels *batch_space"],
        p: Float[Array, "*batch parameters"] | None = None,
        *,
        key: PRNGKey | None = None,
    ) -> Inexact[Array, "out_channels *batch_space"]:
        """The output for `(channels, *batch, *space)`; `p` is not read."""
        v = self.lifting(append_coordinates(u, self.num_dims, endpoint=True))
        widths = self.padding if isinstance(self.padding, tuple) else (self.padding,) * self.num_dims
        v = pad_domain(v, [(0, w) for w in widths])
        for block in self.blocks:
            v = block(v)
        return self.projection(crop_domain(v, [(0, w) for w in widths]))


def _uniform(blocks: tuple[FourierBlock, ...], width: int, key: PRNGKey) -> tuple[FourierBlock, ...]:
    """The blocks with spectral weights uniform on [0, 1/width²) in both parts."""
    weights = lambda bs: [b.conv.weight for b in bs]  # noqa: E731
    keys = jax.random.split(key, len(blocks))
    drawn = [tuple(jax.random.uniform(k, (2, *w[0].shape)) / width**2) for k, w in zip(keys, weights(blocks), strict=True)]
    return eqx.tree_at(weights, blocks, drawn)
