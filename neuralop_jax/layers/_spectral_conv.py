"""The spectral convolution: a learned complex matrix for every kept wavenumber."""

from collections.abc import Sequence

import equinox as eqx
import jax
from jaxtyping import Array, Float, Inexact

from neuralop_jax._checks import one_of
from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.kernels import (
    contract_dense,
    contract_separable,
    forward_transform,
    inverse_transform,
    kept_modes,
    space_size,
    whole_shape,
)
from neuralop_jax.kernels._modes import centered
from neuralop_jax.kernels._space import everywhere_beside
from neuralop_jax.kernels._transform import Transform
from neuralop_jax.layers._pointwise import over_space
from neuralop_jax.layers._spectral_weight import AbstractSpectralWeight, Rank, spectral_weight

IMPLEMENTATIONS = ("factorized", "reconstructed")
_SHARED = "a spectral convolution with shared=True has no weight of its own. Call it with weight=...."


class SpectralConv(eqx.Module):
    r"""$\mathcal K u = \mathcal F^{-1}\big(R_k\,(\mathcal F u)_k\big) + b$ over the kept wavenumbers $k$, zero elsewhere.

    With `n_modes[i]` $= M$, axis $i$ keeps the wavenumbers $-\lfloor M/2\rfloor \dots \lceil M/2\rceil - 1$ and the last axis
    of real data $0 \dots \lfloor M/2\rfloor$. The forward transform carries $1/N$, so amplitudes do not depend on the grid; a
    grid with fewer points than modes uses the weights of the wavenumbers that it can represent.

    **Arguments:**

    - `in_channels`, `out_channels`: sizes.
    - `n_modes`: wavenumbers kept per axis.
    - `max_n_modes`: size of the stored weight, at least `n_modes`; the wavenumbers of `n_modes` are its center.
    - `separable`: one number per channel and wavenumber instead of a matrix; needs equal channels.
    - `complex_data`: complex fields, all signs on all axes.
    - `factorization`, `rank`, `fixed_rank_modes`, `implementation`, `tensor_dropout`, `tensor_dropout_rescale`: a weight of low
      rank, as in `FNO`.
    - `shared`: the weight is not this layer's own but given to every call.
    - `transform`: `"fft"`, `"dft"` (matrix products) or `"auto"`, by shape and platform.
    - `key`: draws $R$ as complex normal with variance $2/(c_\text{in} + c_\text{out})$, half in each part, and $b$ with the
      same variance.

    **Raises:** `ConfigError` if `max_n_modes` is smaller than `n_modes`, a separable convolution changes the channels, or for a
    rank or implementation that cannot be.

    **Source:** Li et al. 2021, arXiv:2010.08895, eq. 4-5; wavenumber rule and initialization of neuraloperator 2.0.

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from neuralop_jax.layers import SpectralConv

        conv = SpectralConv(1, 2, (6,), key=jax.random.key(0))
        wave = lambda points: jnp.sin(4 * jnp.pi * jnp.arange(points) / points)[None]
        assert jnp.allclose(conv(wave(48))[:, ::3], conv(wave(16)), atol=1e-6)  # the same function on either grid
        ```
    """

    weight: tuple[Float[Array, "..."], Float[Array, "..."]] | AbstractSpectralWeight | None
    bias: Float[Array, "..."] | None
    n_modes: tuple[int, ...] = eqx.field(static=True)
    separable: bool = eqx.field(static=True)
    complex_data: bool = eqx.field(static=True)
    implementation: str = eqx.field(static=True)
    tensor_dropout: float = eqx.field(static=True)
    tensor_dropout_rescale: bool = eqx.field(static=True)
    transform: Transform = eqx.field(static=True)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        n_modes: Sequence[int],
        *,
        max_n_modes: Sequence[int] | None = None,
        separable: bool = False,
        bias: bool = True,
        complex_data: bool = False,
        factorization: str | None = None,
        rank: Rank = 1.0,
        fixed_rank_modes: Sequence[int] = (),
        implementation: str = "factorized",
        tensor_dropout: int | float = 0.0,
        tensor_dropout_rescale: bool = False,
        shared: bool = False,
        transform: Transform = "auto",
        key: PRNGKey,
    ):
        one_of("implementation", implementation, IMPLEMENTATIONS, ConfigError)
        stored = tuple(n_modes if max_n_modes is None else max_n_modes)
        if any(m > s for m, s in zip(n_modes, stored, strict=True)):
            raise ConfigError(f"max_n_modes {stored} is smaller than n_modes {tuple(n_modes)}. Raise max_n_modes.")
        if separable and in_channels != out_channels:
            raise ConfigError(f"separable needs in_channels = out_channels, got {in_channels} and {out_channels}.")
        self.n_modes, self.separable, self.complex_data, self.transform = tuple(n_modes), separable, complex_data, transform
        self.implementation, self.tensor_dropout = implementation, tensor_dropout
        self.tensor_dropout_rescale = tensor_dropout_rescale
        columns = stored if complex_data else (*stored[:-1], stored[-1] // 2 + 1)
        channels = (in_channels,) if separable else (in_channels, out_channels)
        weight_key, bias_key = jax.random.split(key)
        deviation = (2 / (in_channels + out_channels)) ** 0.5
        if shared:
            self.weight = None
        elif factorization is None:
            real, imaginary = deviation * 0.5**0.5 * jax.random.normal(weight_key, (2, *columns, *channels))
            self.weight = real, imaginary
        else:
            self.weight = spectral_weight(
                factorization,
                (*channels, *columns),
                rank,
                fixed_rank_modes=fixed_rank_modes,
                deviation=deviation,
                separable=separable,
                key=weight_key,
            )
        parts = (2,) if complex_data else ()
        self.bias = deviation * jax.random.normal(bias_key, (*parts, out_channels)) if bias else None

    def __call__(
        self,
        u: Inexact[Array, "channels *batch_space"],
        shape: Sequence[int] | None = None,
        *,
        weight: AbstractSpectralWeight | None = None,
        key: PRNGKey | None = None,
    ) -> Inexact[Array, "out *batch_out_space"]:
        """The convolved field, on the grid of `u` or, over the same extent, on a grid of `shape`, the whole one if it is divided.

        Several samples at once stand between channels and space: `(channels, batch, *space)`. `weight` takes the place of the
        layer's own; with a `key` there is tensor dropout of the own weight.

        **Raises:** `ModelInputError` without any weight, or for points that devices cannot share evenly.
        """
        real, dims = not self.complex_data, len(self.n_modes)
        points = whole_shape(u.shape[u.ndim - dims :])
        shape = points if shape is None else tuple(shape)
        if shape[0] % space_size():
            raise ModelInputError(
                f"a spectral convolution leads onto {shape[0]} points of the first space axis, which {space_size()} devices "
                "cannot share evenly. Choose output_scaling so that they can, or fewer devices."
            )
        own = self.weight if weight is None else weight
        if own is None:
            raise ModelInputError(_SHARED)
        kept, stored = kept_modes(self.n_modes, points, real=real), _stored_modes(own, dims)
        place = tuple(centered(k, s, half=real and i == dims - 1) for i, (k, s) in enumerate(zip(kept, stored, strict=True)))
        c = everywhere_beside(forward_transform(u, kept, transform=self.transform), own)
        if isinstance(own, AbstractSpectralWeight):
            if weight is None and key is not None and self.tensor_dropout > 0:
                own = own.dropped(self.tensor_dropout, rescale=self.tensor_dropout_rescale, key=key)
            c = self._contract_low_rank(c, own.rows(place, c.dtype))
        else:
            by_real, by_imaginary = ((part if kept == stored else part[place]).astype(c.dtype) for part in own)
            c = (contract_separable if self.separable else contract_dense)(c, (by_real, by_imaginary))
        v = inverse_transform(c, shape, real=real, transform=self.transform).astype(u.dtype)
        if self.bias is None:
            return v
        bias = self.bias[0] + 1j * self.bias[1] if self.complex_data else self.bias
        return v + over_space(bias.astype(u.dtype), v)

    @property
    def stored_modes(self) -> tuple[int, ...]:
        """How many wavenumbers per axis the layer's own weight is for."""
        return () if self.weight is None else _stored_modes(self.weight, len(self.n_modes))

    def dense_weight(self) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
        """The layer's own weight in full, `(*modes, in, out)`, or `(*modes, channels)` if separable; both parts.

        **Raises:** `ModelInputError` if the layer has none.
        """
        if self.weight is None:
            raise ModelInputError(_SHARED)
        return self.weight.to_dense() if isinstance(self.weight, AbstractSpectralWeight) else self.weight

    def _contract_low_rank(self, c: Array, weight: AbstractSpectralWeight) -> Array:
        if self.separable:  # the weight in full is no larger than the coefficients of one sample
            return contract_separable(c, weight.to_dense())
        return contract_dense(c, weight.to_dense()) if self.implementation == "reconstructed" else weight.contract(c)


def _stored_modes(weight: tuple[Array, Array] | AbstractSpectralWeight, dims: int) -> tuple[int, ...]:
    return weight.modes if isinstance(weight, AbstractSpectralWeight) else weight[0].shape[:dims]
