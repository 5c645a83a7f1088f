"""A field seen along one axis, and the kernel matrix between the points of this axis that is made of it."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuralop_jax._typing import PRNGKey
from neuralop_jax.layers._activation import gelu
from neuralop_jax.layers._channel_norm import LayerNorm
from neuralop_jax.layers._pointwise import Pointwise
from neuralop_jax.layers._rotary import rotary_frequencies, rotate
from neuralop_jax.layers._untrained import Buffer

_GAIN = 0.02


class AxisProjection(eqx.Module):
    r"""$\phi(x_m) = G(\operatorname{LN}(W \bar w(x_m)))$ of the mean $\bar w$ of a field over all other axes.

    $G$ is affine, then a gated GELU (the first half's GELU times the second half), then affine. The mean comes before $W$, with
    which it commutes.

    **Arguments:**

    - `channels`: of the field, and hidden.
    - `out_channels`: of $\phi$.
    - `key`: initial weights.

    **Source:** Li, Shu, Barati Farimani 2023, arXiv:2305.17560, section 3.2.
    """

    mixing: Pointwise
    norm: LayerNorm
    gate: Pointwise
    output: Pointwise

    def __init__(self, channels: int, out_channels: int, *, key: PRNGKey):
        mixing_key, gate_key, output_key = jax.random.split(key, 3)
        self.mixing = Pointwise(channels, channels, bias=False, key=mixing_key)
        self.norm = LayerNorm(channels)
        self.gate = Pointwise(channels, 2 * channels, key=gate_key)
        self.output = Pointwise(channels, out_channels, key=output_key)

    def __call__(self, mean: Float[Array, "channels *batch points"]) -> Float[Array, "out *batch points"]:
        """$\\phi$ from the mean of the field over all axes but one."""
        first, second = jnp.split(self.gate(self.norm(self.mixing(mean))), 2)
        return self.output(gelu(first) * second)


class AxisKernel(eqx.Module):
    r"""$K_{ij} = s\,\langle R(x_i)\,Q\phi_i,\; R(x_j)\,\kappa\phi_j\rangle$ per head, with $R(x)$ the rotary encoding.

    The product is not divided by the number of points: a norm follows where these kernels are used.

    **Arguments:**

    - `channels`: of $\phi$.
    - `heads`, `head_width`: kernels, and channels of each inner product; even with `rotary`.
    - `rotary`: whether $R$ is there; the kernel then sees positions through their difference.
    - `period`: length after which $R$ repeats, see `rotary_frequencies`.
    - `scaling`: $s$.
    - `softmax`: whether each row becomes its softmax.
    - `key`: draws $Q$ and $\kappa$ uniformly, Glorot with gain 0.02.

    **Source:** Li, Shu, Barati Farimani 2023, arXiv:2305.17560, equation 9.

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from neuralop_jax.layers import AxisKernel, AxisProjection

        keys = jax.random.split(jax.random.key(0))
        phi = AxisProjection(4, 8, key=keys[0])(jax.random.normal(jax.random.key(1), (4, 16)))
        x = jnp.arange(16) / 16
        kernel = AxisKernel(8, heads=2, head_width=6, period=1.0, key=keys[1])
        assert kernel(phi, x).shape == (2, 16, 16)
        assert jnp.allclose(kernel(phi, x), kernel(phi, x + 0.3), atol=1e-5)  # only differences of positions count
        ```
    """

    query: Pointwise
    source: Pointwise
    frequencies: Buffer | None
    heads: int = eqx.field(static=True)
    scaling: float = eqx.field(static=True)
    softmax: bool = eqx.field(static=True)

    def __init__(
        self,
        channels: int,
        heads: int,
        head_width: int,
        *,
        rotary: bool = True,
        period: float | None = None,
        scaling: float = 1.0,
        softmax: bool = False,
        key: PRNGKey,
    ):
        out = heads * head_width
        limit = _GAIN * (6 / (channels + out)) ** 0.5
        maps = [Pointwise(channels, out, bias=False, key=k) for k in jax.random.split(key)]
        self.query, self.source = (_scaled(m, limit * channels**0.5) for m in maps)
        self.frequencies = Buffer(rotary_frequencies(head_width, period=period)) if rotary else None
        self.heads, self.scaling, self.softmax = heads, scaling, softmax

    def __call__(
        self,
        phi: Float[Array, "channels *batch points"],
        x: Float[Array, " points"],
        weights: Float[Array, " points"] | None = None,
    ) -> Float[Array, "heads *batch points points"]:
        """The kernels.

        **Arguments:**

        - `x`: coordinates of the points; with `rotary` in units of length, else they do not matter.
        - `weights`: of a quadrature over the axis; they multiply the columns, in a softmax before the rows are normalized.
        """
        q, k = (m(phi).reshape(self.heads, -1, *phi.shape[1:]) for m in (self.query, self.source))
        if self.frequencies is not None:
            q, k = (rotate(v, x, self.frequencies.value) for v in (q, k))
        kernel = self.scaling * jnp.einsum("hc...i,hc...j->h...ij", q, k)
        columns = None if weights is None else weights.astype(phi.dtype).reshape((1,) * (kernel.ndim - 1) + (-1,))
        if self.softmax:
            kernel = jax.nn.softmax(kernel if columns is None else kernel + jnp.log(columns), axis=-1)
        elif columns is not None:
            kernel = kernel * columns
        return kernel


def _scaled(layer: Pointwise, factor: float) -> Pointwise:
    return eqx.tree_at(lambda m: m.weight, layer, layer.weight * factor)
