"""Two small convolutions with norm and activation: the step of a U-shaped network at one scale."""

import equinox as eqx
import jax
from jaxtyping import Array, Float

from neuralop_jax._checks import one_of
from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError
from neuralop_jax.layers._convolution import Convolution
from neuralop_jax.layers._norm import BatchNorm, GroupNorm

NORMS = ("group", "instance", "batch")


class DoubleConvolution(eqx.Module):
    r"""$\operatorname{relu} \circ N_2 \circ C_2 \circ \operatorname{relu} \circ N_1 \circ C_1$: convolutions three points wide.

    Zeros stand beyond the edge of the grid; the convolutions have no bias, the norms a scale and a shift per channel.

    **Arguments:**

    - `num_dims`: space axes, one to four.
    - `channels`: before, between and after the convolutions.
    - `norm`: `"group"` (one mean and variance of a sample), `"instance"` (one per channel of a sample) or `"batch"` (one per
      channel of a batch, see `BatchNorm`).
    - `key`: initial weights.

    **Raises:** `ConfigError` for another norm.

    !!! example

        ```python
        import equinox as eqx, jax, jax.numpy as jnp
        from neuralop_jax.layers import DoubleConvolution

        layer = eqx.filter_jit(DoubleConvolution(1, (2, 8, 4), key=jax.random.key(0)))
        assert layer(jnp.ones((2, 16))).shape == (4, 16) and layer(jnp.ones((2, 16))).min() >= 0
        ```
    """

    convolutions: tuple[Convolution, Convolution]
    norms: tuple[GroupNorm | BatchNorm, GroupNorm | BatchNorm]
    num_dims: int = eqx.field(static=True)

    def __init__(self, num_dims: int, channels: tuple[int, int, int], *, norm: str = "group", key: PRNGKey):
        one_of("norm", norm, NORMS, ConfigError)
        first, second = jax.random.split(key)
        before, between, after = channels
        self.convolutions = (
            Convolution(num_dims, before, between, bias=False, key=first),
            Convolution(num_dims, between, after, bias=False, key=second),
        )
        self.norms = _norm(norm, between), _norm(norm, after)
        self.num_dims = num_dims

    def __call__(self, u: Float[Array, "in *batch_space"], *, training: bool = False) -> Float[Array, "out *batch_space"]:
        """The field for one sample, or for several behind the channels, `(channels, batch, *space)`."""
        batched = u.ndim > self.num_dims + 1
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            v = convolution(u)
            v = norm(v, training=training) if isinstance(norm, BatchNorm) else norm(v, batched=batched)
            u = jax.nn.relu(v)
        return u


def _norm(kind: str, channels: int) -> GroupNorm | BatchNorm:
    if kind == "batch":
        return BatchNorm(channels)
    return GroupNorm(channels, channels if kind == "instance" else 1)
