"""One Fourier block: spectral convolution and bypass, then a network over the channels and its own bypass."""

from collections.abc import Callable, Sequence
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

from neuralop_jax._checks import one_of
from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError
from neuralop_jax.kernels import resample, whole_shape
from neuralop_jax.kernels._transform import Transform
from neuralop_jax.layers._activation import activation as activate
from neuralop_jax.layers._channel_mlp import ChannelMLP
from neuralop_jax.layers._convolution import Convolution
from neuralop_jax.layers._norm import AdaptiveNorm, GroupNorm, InstanceNorm
from neuralop_jax.layers._pointwise import Pointwise, SoftGate
from neuralop_jax.layers._spectral_conv import SpectralConv
from neuralop_jax.layers._spectral_weight import AbstractSpectralWeight, Rank

BYPASSES = ("linear", "identity", "soft_gating", "convolution", "none")
NORMS = (None, "instance", "group", "adaptive")


class FourierBlock(eqx.Module):
    r"""With $\sigma$ the activation (left out in the last block), $N_i$ norms, $S_i$ bypasses, $M$ the channel MLP:

    $$y = \sigma\big(N_1(\mathcal K\,t(u)) + S_1 u\big), \qquad z = \sigma\big(N_2(M y + S_2 u)\big).$$

    $t$ is the identity or, with `stabilizer="tanh"`, the hyperbolic tangent. With `preactivation`, $\sigma$ and $N_1$ act on
    $u$ before everything else and $\sigma$, $N_2$ on $y$ before $M$. Without the channel MLP, $z = y$; with
    `repeat_activation` it is then $\sigma(N_2(y))$, as in neuraloperator 2.0.

    **Arguments:** as the options of the same names of `FNO`; `last` marks the last block of an operator, `shared` says
    that the spectral weight is given to every call.

    **Source:** neuraloperator 2.0 (Kossaifi et al. 2024, arXiv:2412.10354). Differs: where the block changes the grid, the
    bypasses are resampled by wavenumber like the spectral branch, not interpolated.

    !!! example

        ```python
        import equinox as eqx, jax, jax.numpy as jnp
        from neuralop_jax.layers import FourierBlock

        block = eqx.filter_jit(FourierBlock(4, (6, 6), key=jax.random.key(0)))
        u = jax.random.normal(jax.random.key(1), (4, 16, 16))
        assert jnp.allclose(block(jnp.roll(u, 5, axis=1)), jnp.roll(block(u), 5, axis=1), atol=1e-5)  # commutes with shifts
        ```
    """

    conv: SpectralConv
    bypass: Callable[[Array], Array] | None
    mlp: ChannelMLP | None
    mlp_bypass: Callable[[Array], Array] | None
    norms: tuple[Callable[[Array, Array | None], Array], ...]
    activation: str = eqx.field(static=True)
    preactivation: bool = eqx.field(static=True)
    stabilizer: str | None = eqx.field(static=True)
    repeat_activation: bool = eqx.field(static=True)
    last: bool = eqx.field(static=True)

    def __init__(
        self,
        width: int,
        n_modes: Sequence[int],
        *,
        max_n_modes: Sequence[int] | None = None,
        bypass: str = "linear",
        bypass_bias: bool = False,
        channel_mlp: bool = True,
        channel_mlp_expansion: int | float = 0.5,
        channel_mlp_bypass: str = "soft_gating",
        activation: str = "gelu",
        norm: str | None = None,
        num_parameters: int = 0,
        preactivation: bool = False,
        stabilizer: Literal["tanh"] | None = None,
        separable: bool = False,
        spectral_bias: bool = True,
        repeat_activation: bool = False,
        complex_data: bool = False,
        factorization: str | None = None,
        rank: Rank = 1.0,
        fixed_rank_modes: Sequence[int] = (),
        implementation: str = "factorized",
        tensor_dropout: int | float = 0.0,
        tensor_dropout_rescale: bool = False,
        shared: bool = False,
        transform: Transform = "auto",
        last: bool = False,
        key: PRNGKey,
    ):
        one_of("bypass", bypass, BYPASSES, ConfigError)
        one_of("channel_mlp_bypass", channel_mlp_bypass, BYPASSES, ConfigError)
        one_of("norm", norm, NORMS, ConfigError)
        one_of("stabilizer", stabilizer, (None, "tanh"), ConfigError)
        conv_key, bypass_key, mlp_key, mlp_bypass_key, *norm_keys = jax.random.split(key, 6)
        self.conv = SpectralConv(
            width,
            width,
            n_modes,
            max_n_modes=max_n_modes,
            separable=separable,
            bias=spectral_bias,
            complex_data=complex_data,
            factorization=factorization,
            rank=rank,
            fixed_rank_modes=fixed_rank_modes,
            implementation=implementation,
            tensor_dropout=tensor_dropout,
            tensor_dropout_rescale=tensor_dropout_rescale,
            shared=shared,
            transform=transform,
            key=conv_key,
        )
        self.bypass = _bypass(bypass, width, len(n_modes), bypass_bias, complex_data, bypass_key)
        hidden = round(channel_mlp_expansion * width)
        self.mlp = ChannelMLP((width, hidden, width), complex_data=complex_data, key=mlp_key) if channel_mlp else None
        self.mlp_bypass = (
            _bypass(channel_mlp_bypass, width, len(n_modes), False, complex_data, mlp_bypass_key) if channel_mlp else None
        )
        num_norms = 0 if norm is None else 2 if channel_mlp or repeat_activation else 1
        self.norms = tuple(_norm(norm, width, num_parameters, k) for k in norm_keys[:num_norms])
        self.activation, self.preactivation, self.stabilizer = activation, preactivation, stabilizer
        self.repeat_activation, self.last = repeat_activation, last

    def __call__(
        self,
        u: Inexact[Array, "channels *batch_space"],
        shape: Sequence[int] | None = None,
        *,
        p: Float[Array, "*batch parameters"] | None = None,
        weight: AbstractSpectralWeight | None = None,
        key: PRNGKey | None = None,
    ) -> Inexact[Array, "channels *batch_out_space"]:
        """The block's output on the grid of `u`, or on a grid of `shape` over the same extent, the whole one if it is divided.

        Several samples at once stand between channels and space, `(channels, batch, *space)`; `p` is then `(batch, parameters)`.
        `weight` and `key` are for the spectral convolution.
        """
        shape = whole_shape(u.shape[u.ndim - len(self.conv.n_modes) :]) if shape is None else tuple(shape)
        if self.preactivation:
            u = self._normalize(0, activate(self.activation, u), p)
        v = self.conv(self._stabilize(u), shape, weight=weight, key=key)
        if not self.preactivation:
            v = self._normalize(0, v, p)
        # From here on a field is a matrix (channels, points): what an activation returns is then an operand of the next product
        # as it is, and XLA stores it once. With space axes it would be computed again for everything that reads it.
        out, v = v.shape, _matrix(v)
        v = self._activate(v if self.bypass is None else v + self._branch(self.bypass, u, shape))
        if self.mlp is None and not self.repeat_activation:
            return v.reshape(out)
        if self.preactivation:
            v = _matrix(self._normalize(1, v.reshape(out), p))
        if self.mlp is not None:
            v = self.mlp(v)
            v = v if self.mlp_bypass is None else v + self._branch(self.mlp_bypass, u, shape)
        if self.preactivation:
            return v.reshape(out)
        return self._activate(_matrix(self._normalize(1, v.reshape(out), p))).reshape(out)

    def _activate(self, u: Array) -> Array:
        return u if self.last else activate(self.activation, u)

    def _normalize(self, index: int, u: Array, p: Array | None) -> Array:
        return self._each(self.norms[index], u, p) if self.norms else u

    def _branch(self, bypass: Callable[[Array], Array], u: Array, shape: tuple[int, ...]) -> Array:
        """A bypass of the block's input, on the grid of its output, as a matrix."""
        v = bypass(u) if isinstance(bypass, Convolution) else bypass(_matrix(u)).reshape(u.shape)
        return _matrix(resample(v, shape))

    def _each(self, layer: Callable[..., Array], u: Array, *p: Array | None) -> Array:
        """A layer that takes one sample, on one or on every sample."""
        several = u.ndim > 1 + len(self.conv.n_modes)
        return jax.vmap(layer, (1, *(0 for _ in p)), 1)(u, *p) if several else layer(u, *p)

    def _stabilize(self, u: Array) -> Array:
        if self.stabilizer is None:
            return u
        return jnp.tanh(u.real) + 1j * jnp.tanh(u.imag) if jnp.iscomplexobj(u) else jnp.tanh(u)


def _matrix(u: Array) -> Array:
    """A field `(channels, ...)` as a matrix `(channels, points)`."""
    return u.reshape(len(u), -1)


def _bypass(kind: str, width: int, dims: int, bias: bool, complex_data: bool, key: PRNGKey):
    if kind == "linear":
        return Pointwise(width, width, bias=bias, complex_data=complex_data, key=key)
    if kind == "convolution":  # three points wide, so it changes with the grid
        if complex_data:
            raise ConfigError("bypass 'convolution' works on real fields only. Use 'linear' with complex_data.")
        return Convolution(dims, width, width, boundary="periodic", bias=bias, key=key)
    return {"identity": eqx.nn.Identity(), "soft_gating": SoftGate(width), "none": None}[kind]


def _norm(kind: str | None, width: int, num_parameters: int, key: PRNGKey):
    if kind == "adaptive":
        return AdaptiveNorm(width, num_parameters, key=key)
    return InstanceNorm() if kind == "instance" else GroupNorm(width)
