"""The Fourier neural operator, in the form that has proved best."""

from collections.abc import Sequence
from typing import Literal

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Inexact

from neuralop_jax._checks import one_of
from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError
from neuralop_jax.kernels import whole_shape
from neuralop_jax.kernels._transform import Transform
from neuralop_jax.layers import ChannelMLP, FourierBlock, append_coordinates, crop_domain, pad_domain
from neuralop_jax.layers._activation import check_activation
from neuralop_jax.layers._padding import padding_widths
from neuralop_jax.layers._spectral_conv import IMPLEMENTATIONS
from neuralop_jax.layers._spectral_weight import FACTORIZATIONS, AbstractSpectralWeight, spectral_weight
from neuralop_jax.models._on_grids import AbstractGridOperator
from neuralop_jax.models._options import Depth, check_hidden, check_per_axis, check_sizes, modes_per_axis
from neuralop_jax.models._rebuild import rebuilt
from neuralop_jax.models._resolution import ResolutionClaim, fourier_causes


class FNO(AbstractGridOperator):
    r"""The Fourier neural operator $u \mapsto Q \circ B_L \circ \dots \circ B_1 \circ P\,(u, x)$ on a uniform grid.

    $P$ lifts the channels and coordinates to `width`, each block $B_l$ (see `FourierBlock`) adds a spectral convolution and a
    pointwise bypass, $Q$ projects to the output channels. The weights do not depend on the grid.

    **Arguments:** (keyword-only; all but `key` are kept and make the model's `spec_of`)

    - `in_channels`, `out_channels`: channels of input and output function.
    - `n_modes`: wavenumbers kept per axis, $-\lfloor M/2\rfloor \dots \lceil M/2\rceil - 1$ and $0 \dots \lfloor M/2\rfloor$ on
      the last; one integer for all axes with `num_dims`, or one per axis. The $k$ modes of the first FNO are $M = 2k$, on the
      last axis $2(k-1)$. *Good values:* a quarter to three quarters of the points of the training grid.
    - `num_dims`: number of space axes, 1 to 4; needed only where `n_modes` is one integer.
    - `width`, `depth`: hidden channels, number of blocks.
    - `lifting_ratio`, `projection_ratio`: hidden channels of $P$ and $Q$ over `width`; a lifting ratio of 0 makes $P$ affine.
    - `coordinates`: append coordinates on $[0, 1)$ per axis. Without them (and without padding) the operator commutes with
      shifts.
    - `activation`: a name in `layers.ACTIVATIONS`; the exact `"gelu"` by default.
    - `norm`: `None`, `"instance"`, `"group"`, or `"adaptive"` (scale and shift from `num_parameters` parameters `p`).
    - `bypass`, `bypass_bias`: the branch beside the spectral convolution: `"linear"`, `"identity"`, `"soft_gating"`,
      `"convolution"` (three points wide, so not independent of the grid), `"none"`.
    - `channel_mlp`, `channel_mlp_expansion`, `channel_mlp_bypass`: the network over channels after it, hidden channels
      `round(expansion * width)`, exact GELU inside; its bypass from the block's input, as above.
    - `padding`: zeros on both sides of every axis, as a fraction of its points; one number or one per axis. For fields that
      are not periodic. *Good values:* 0.1 to 0.25.
    - `preactivation`: activation and norm before the spectral convolution instead of after it.
    - `separable`: one spectral number per channel and wavenumber instead of a matrix.
    - `stabilizer`: `"tanh"` bounds the input of every spectral convolution.
    - `repeat_activation`: only without channel MLP: apply norm and activation twice, as neuraloperator 2.0 does.
    - `output_scaling`: factor of the number of points per block, each a number or one per axis; resampled by wavenumber.
    - `max_n_modes`: size of the stored weights for incremental training, at least `n_modes` (see `with_n_modes`).
    - `complex_data`: complex fields; all signs on all axes, complex affine maps, activation on both parts.
    - `factorization`: `None`, or `"cp"`, `"tucker"`, `"tt"`: the spectral weights, tensors (channels read, channels written,
      modes), are held in factors (see `CPWeight`, `TuckerWeight`, `TTWeight`). `TFNO` is this with Tucker and a rank of 0.1.
    - `rank`: a float up to 1 is the share of the dense weight's numbers that the factors hold, about; an integer is the rank of
      every mode; several are all ranks, for a tensor train with the 1 at both ends. Tucker's ranks are at most the sizes of the
      tensor. *Good values:* 0.01 to 0.3.
    - `fixed_rank_modes`: modes of the tensor, from 0, that Tucker keeps at full rank.
    - `implementation`: `"factorized"` multiplies by the factors, `"reconstructed"` builds the weight first; the numbers agree to
      round-off. The second can be faster for large batches.
    - `joint`: one tensor for all blocks, with the blocks as first mode, instead of one each.
    - `tensor_dropout`, `tensor_dropout_rescale`: in training, the chance of every index of ranks of at least 4 to be left out of
      the factors, and whether the rest is enlarged to keep the mean.
    - `transform`: `"fft"`, `"dft"` or `"auto"`: how the kept coefficients are computed; the numbers agree to round-off.
    - `key`: initial weights.

    **Raises:** `ConfigError` for options that do not fit; `ModelInputError` when called with anything but one sample.

    **Source:** Li et al. 2021, arXiv:2010.08895; block of neuraloperator 2.0, arXiv:2412.10354. Differs: wavenumbers keep
    their place whenever the grid changes, also on odd sizes. Low-rank weights: Kossaifi et al. 2024, arXiv:2310.00120. Differs:
    tensor trains start with the variance of the other forms (the original divides by the ranks, not their roots), and the joint
    tensor has one entry per block, not per block and sign of the wavenumbers.

    !!! example

        ```python
        import equinox as eqx, jax, jax.numpy as jnp
        from neuralop_jax.models import FNO

        model = FNO(in_channels=1, out_channels=1, num_dims=2, n_modes=8, width=16, key=jax.random.key(0))
        compiled = eqx.filter_jit(model)
        assert compiled(jnp.ones((1, 32, 32))).shape == (1, 32, 32)
        assert jax.vmap(compiled)(jnp.ones((5, 1, 48, 20))).shape == (5, 1, 48, 20)
        ```
    """

    divisible = True
    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    n_modes: tuple[int, ...] = eqx.field(static=True)
    num_dims: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    depth: int = eqx.field(static=True)
    lifting_ratio: float = eqx.field(static=True)
    projection_ratio: float = eqx.field(static=True)
    coordinates: bool = eqx.field(static=True)
    activation: str = eqx.field(static=True)
    norm: str | None = eqx.field(static=True)
    num_parameters: int = eqx.field(static=True)
    bypass: str = eqx.field(static=True)
    bypass_bias: bool = eqx.field(static=True)
    channel_mlp: bool = eqx.field(static=True)
    channel_mlp_expansion: float = eqx.field(static=True)
    channel_mlp_bypass: str = eqx.field(static=True)
    padding: float | tuple[float, ...] | None = eqx.field(static=True)
    preactivation: bool = eqx.field(static=True)
    separable: bool = eqx.field(static=True)
    stabilizer: str | None = eqx.field(static=True)
    repeat_activation: bool = eqx.field(static=True)
    output_scaling: tuple[float | tuple[float, ...], ...] | None = eqx.field(static=True)
    max_n_modes: tuple[int, ...] | None = eqx.field(static=True)
    complex_data: bool = eqx.field(static=True)
    factorization: str | None = eqx.field(static=True)
    rank: int | float | tuple[int, ...] = eqx.field(static=True)
    fixed_rank_modes: tuple[int, ...] = eqx.field(static=True)
    implementation: str = eqx.field(static=True)
    joint: bool = eqx.field(static=True)
    tensor_dropout: float = eqx.field(static=True)
    tensor_dropout_rescale: bool = eqx.field(static=True)
    transform: Transform = eqx.field(static=True)
    lifting: ChannelMLP
    blocks: tuple[FourierBlock, ...]
    joint_weight: AbstractSpectralWeight | None
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
        lifting_ratio: int | float = 2.0,
        projection_ratio: int | float = 2.0,
        coordinates: bool = True,
        activation: str = "gelu",
        norm: Literal["instance", "group", "adaptive"] | None = None,
        num_parameters: int = 0,
        bypass: str = "linear",
        bypass_bias: bool = False,
        channel_mlp: bool = True,
        channel_mlp_expansion: int | float = 0.5,
        channel_mlp_bypass: str = "soft_gating",
        padding: int | float | Sequence[int | float] | None = None,
        preactivation: bool = False,
        separable: bool = False,
        stabilizer: Literal["tanh"] | None = None,
        repeat_activation: bool = False,
        output_scaling: Sequence[int | float | Sequence[int | float]] | None = None,
        max_n_modes: int | Sequence[int] | None = None,
        complex_data: bool = False,
        factorization: str | None = None,
        rank: int | float | Sequence[int] = 1.0,
        fixed_rank_modes: Sequence[int] = (),
        implementation: str = "factorized",
        joint: bool = False,
        tensor_dropout: int | float = 0.0,
        tensor_dropout_rescale: bool = False,
        transform: Transform = "auto",
        key: PRNGKey,
    ):
        check_activation(activation)
        check_sizes(in_channels=in_channels, out_channels=out_channels, width=width, depth=depth)
        check_hidden("projection_ratio", projection_ratio, width)
        if lifting_ratio:
            check_hidden("lifting_ratio", lifting_ratio, width)
        if channel_mlp:
            check_hidden("channel_mlp_expansion", channel_mlp_expansion, width, rounding=round)
        one_of("transform", transform, ("auto", "fft", "dft"), ConfigError)
        self.in_channels, self.out_channels, self.width, self.depth = in_channels, out_channels, width, depth
        self.n_modes = modes_per_axis("n_modes", n_modes, num_dims)
        self.num_dims = len(self.n_modes)
        self.max_n_modes = None if max_n_modes is None else modes_per_axis("max_n_modes", max_n_modes, self.num_dims)
        self.lifting_ratio, self.projection_ratio, self.coordinates = lifting_ratio, projection_ratio, coordinates
        self.activation, self.norm, self.num_parameters = activation, norm, num_parameters
        self.bypass, self.bypass_bias, self.channel_mlp = bypass, bypass_bias, channel_mlp
        self.channel_mlp_expansion, self.channel_mlp_bypass = channel_mlp_expansion, channel_mlp_bypass
        self.padding = tuple(padding) if isinstance(padding, Sequence) else padding
        check_per_axis("padding", padding or 0, self.num_dims, least=0, most=8)
        self.preactivation, self.separable, self.stabilizer = preactivation, separable, stabilizer
        self.repeat_activation, self.complex_data, self.transform = repeat_activation, complex_data, transform
        self.output_scaling = _freeze_scaling(output_scaling, depth, self.num_dims)
        if (norm == "adaptive") != (num_parameters > 0):
            raise ConfigError(
                f"norm='adaptive' and num_parameters go together, got norm={norm!r}, num_parameters={num_parameters}."
            )

        self.factorization, self.rank = factorization, tuple(rank) if isinstance(rank, Sequence) else rank
        self.fixed_rank_modes, self.implementation, self.joint = tuple(fixed_rank_modes), implementation, joint
        self.tensor_dropout, self.tensor_dropout_rescale = tensor_dropout, tensor_dropout_rescale
        _check_factorization(self)

        lifting_key, projection_key, *block_keys = jax.random.split(key, depth + 2)
        lifted, hidden = in_channels + (self.num_dims if coordinates else 0), int(lifting_ratio * width)
        sizes = (lifted, hidden, width) if hidden else (lifted, width)
        self.lifting = ChannelMLP(sizes, activation=activation, complex_data=complex_data, key=lifting_key)
        sizes = (width, int(projection_ratio * width), out_channels)
        self.projection = ChannelMLP(sizes, activation=activation, complex_data=complex_data, key=projection_key)
        self.blocks = tuple(
            FourierBlock(
                width,
                self.n_modes,
                max_n_modes=self.max_n_modes,
                bypass=bypass,
                bypass_bias=bypass_bias,
                channel_mlp=channel_mlp,
                channel_mlp_expansion=channel_mlp_expansion,
                channel_mlp_bypass=channel_mlp_bypass,
                activation=activation,
                norm=norm,
                num_parameters=num_parameters,
                preactivation=preactivation,
                stabilizer=stabilizer,
                separable=separable,
                repeat_activation=repeat_activation,
                complex_data=complex_data,
                factorization=factorization,
                rank=self.rank,
                fixed_rank_modes=self.fixed_rank_modes,
                implementation=implementation,
                tensor_dropout=tensor_dropout,
                tensor_dropout_rescale=tensor_dropout_rescale,
                shared=joint,
                transform=transform,
                last=index == depth - 1,
                key=block_key,
            )
            for index, block_key in enumerate(block_keys)
        )
        joint_key = jax.random.fold_in(key, depth + 2)
        self.joint_weight = _joint_weight(self, factorization, joint_key) if joint and factorization else None

    @property
    def resolution(self) -> ResolutionClaim:
        """Exact where all is linear and nothing marks the edge of the box; none where lengths are counted in points."""
        if "convolution" in (self.bypass, self.channel_mlp_bypass if self.channel_mlp else ""):
            return ResolutionClaim("none", "its convolutions cover points of the grid, not lengths")
        if self.output_scaling is not None:
            return ResolutionClaim("none", "output_scaling cuts spectra off at a part of the grid's wavenumbers")
        nonlinear = self.activation != "identity" or self.channel_mlp or bool(self.norm or self.stabilizer)
        causes = fourier_causes(self.coordinates, bool(np.any(self.padding or 0.0)), nonlinear=nonlinear)
        return ResolutionClaim("converges", "; ".join(causes)) if causes else ResolutionClaim("exact", "it is linear")

    def evaluate(
        self,
        u: Inexact[Array, "in_channels *batch_space"],
        p: Float[Array, "*batch parameters"] | None = None,
        *,
        key: PRNGKey | None = None,
    ) -> Inexact[Array, "out_channels *batch_out_space"]:
        """The output for `(channels, *batch, *space)`."""
        v = self.lifting(append_coordinates(u, self.num_dims) if self.coordinates else u)
        widths = padding_widths(_tuple(self.padding or 0.0, self.num_dims), whole_shape(v.shape[v.ndim - self.num_dims :]))
        v = pad_domain(v, widths)
        shared = self.joint_weight
        if shared is not None and key is not None and self.tensor_dropout > 0:
            shared = shared.dropped(
                self.tensor_dropout, rescale=self.tensor_dropout_rescale, key=jax.random.fold_in(key, self.depth)
            )
        for index, block in enumerate(self.blocks):
            scaling = (1.0,) * self.num_dims if self.output_scaling is None else _tuple(self.output_scaling[index], self.num_dims)
            shape = whole_shape(v.shape[v.ndim - self.num_dims :])
            shape = tuple(n if s == 1 else round(n * s) for n, s in zip(shape, scaling, strict=True))
            weight = None if shared is None else shared.layer(index)
            v = block(v, shape, p=p, weight=weight, key=None if key is None else jax.random.fold_in(key, index))
            widths = tuple(w if s == 1 else round(w * s) for w, s in zip(widths, scaling, strict=True))
        return self.projection(crop_domain(v, widths))

    def with_n_modes(self, n_modes: int | Sequence[int]) -> "FNO":
        """The same operator, same weights, with another number of active modes, up to `max_n_modes`, or `n_modes` without it."""
        n_modes, stored = modes_per_axis("n_modes", n_modes, self.num_dims), self.max_n_modes or self.n_modes
        if any(m > s for m, s in zip(n_modes, stored, strict=True)):
            raise ConfigError(f"n_modes {n_modes} exceeds the stored {stored}. Build the model with larger max_n_modes.")
        return rebuilt(self, n_modes=n_modes, max_n_modes=stored)


def _check_factorization(model: FNO) -> None:
    """Raises `ConfigError` for options of low-rank weights that do not fit together."""
    one_of("factorization", model.factorization, (None, *FACTORIZATIONS), ConfigError)
    one_of("implementation", model.implementation, IMPLEMENTATIONS, ConfigError)
    if not 0 <= model.tensor_dropout < 1:
        raise ConfigError(f"tensor_dropout must be at least 0 and below 1, got {model.tensor_dropout}.")
    if model.factorization is None and (model.joint or model.tensor_dropout or model.fixed_rank_modes or model.rank != 1):
        raise ConfigError(
            "joint, tensor_dropout, fixed_rank_modes and rank are for low-rank weights, but factorization is None. "
            "Give factorization='tucker', 'cp' or 'tt'."
        )


def _joint_weight(model: FNO, factorization: str, key: PRNGKey) -> AbstractSpectralWeight:
    """One tensor for all blocks, its first mode."""
    stored = model.max_n_modes or model.n_modes
    columns = stored if model.complex_data else (*stored[:-1], stored[-1] // 2 + 1)
    channels = (model.width,) if model.separable else (model.width, model.width)
    return spectral_weight(
        factorization,
        (model.depth, *channels, *columns),
        model.rank,
        fixed_rank_modes=model.fixed_rank_modes,
        deviation=model.width**-0.5,
        separable=model.separable,
        key=key,
    )


def _tuple(values: float | tuple[float, ...], num_dims: int) -> tuple[float, ...]:
    return values if isinstance(values, tuple) else (values,) * num_dims


def _freeze_scaling(
    scaling: Sequence[int | float | Sequence[int | float]] | None, depth: int, num_dims: int
) -> tuple[float | tuple[float, ...], ...] | None:
    if scaling is None:
        return None
    if not isinstance(scaling, Sequence) or len(scaling) != depth:
        raise ConfigError(f"output_scaling must have one entry for each of {depth} blocks, got {scaling!r}.")
    for factor in scaling:
        check_per_axis("each entry of output_scaling", factor, num_dims, least=1 / 64, most=64)
    return tuple(tuple(s) if isinstance(s, Sequence) else float(s) for s in scaling)
