"""The branch network of operators with fixed sensors: from values of a function to coefficients."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neuralop_jax._checks import one_of
from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError
from neuralop_jax.layers import MLP, Convolution, StackedMLP
from neuralop_jax.layers._activation import activation, check_activation

BRANCHES = ("mlp", "stacked", "cnn")
_KERNEL, _STRIDE = 5, 2


class Branch(eqx.Module):
    """Values of functions at the sensors, `(batch, channels, *sensors)`, to `(outputs, batch)`.

    `"mlp"` reads all values as one vector; `"stacked"` is one small network for each output; `"cnn"` begins with convolutions
    5 points wide without padding, of which every second point is kept. The last affine map has no activation.

    **Arguments:** as the options of the same names of `DeepONet`.
    """

    convolutions: tuple[Convolution, ...]
    network: MLP | StackedMLP
    activation: str = eqx.field(static=True)

    def __init__(
        self,
        branch: str,
        in_channels: int,
        sensors: Sequence[int],
        outputs: int,
        *,
        hidden: Sequence[int],
        channels: Sequence[int],
        activation: str | Sequence[str],
        initializer: str,
        key: PRNGKey,
    ):
        one_of("branch", branch, BRANCHES, ConfigError)
        self.activation, self.convolutions, values = "identity", (), in_channels * int(np.prod(sensors))
        if branch == "cnn":
            if not isinstance(activation, str):
                raise ConfigError(f"branch 'cnn' has one activation for all layers, got {tuple(activation)}. Name one.")
            check_activation(activation)
            self.activation = activation
            keys, sizes = jax.random.split(key, len(channels)), (in_channels, *channels)
            self.convolutions = tuple(
                Convolution(len(sensors), a, b, kernel_size=_KERNEL, stride=_STRIDE, padding=0, key=k)
                for a, b, k in zip(sizes[:-1], sizes[1:], keys, strict=True)
            )
            values = sizes[-1] * int(np.prod(_remaining(sensors, len(channels))))
        names = activation if isinstance(activation, str) else (*activation, "identity")
        network = StackedMLP if branch == "stacked" else MLP
        self.network = network(
            (values, *hidden, outputs), activations=names, initializer=initializer, key=jax.random.fold_in(key, 0)
        )

    def __call__(self, u: Float[Array, "batch channels *sensors"]) -> Float[Array, "outputs batch"]:
        """The coefficients of every function."""
        if not self.convolutions:
            return self.network(u.reshape(u.shape[0], -1).T)
        v = jnp.moveaxis(u, 0, 1)
        for convolution in self.convolutions:
            v = activation(self.activation, convolution(v))
        return self.network(jnp.moveaxis(v, 1, 0).reshape(u.shape[0], -1).T)


def _remaining(sensors: Sequence[int], depth: int) -> tuple[int, ...]:
    """Points per axis after `depth` convolutions."""
    points = tuple(sensors)
    for _ in range(depth):
        points = tuple((n - _KERNEL) // _STRIDE + 1 for n in points)
    if min(points) < 1:
        raise ConfigError(
            f"branch 'cnn' with {depth} convolutions needs more points per axis than the sensors {tuple(sensors)} have. "
            "Give fewer branch_channels, or use branch 'mlp'."
        )
    return points
