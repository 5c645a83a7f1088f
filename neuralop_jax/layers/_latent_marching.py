"""From a window of frames to a latent field, and from it to later frames, one learned step in time after another."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError
from neuralop_jax.layers._activation import gelu
from neuralop_jax.layers._channel_mlp import ChannelMLP
from neuralop_jax.layers._channel_norm import LayerNorm
from neuralop_jax.layers._pointwise import Pointwise


class FrameLifting(eqx.Module):
    r"""$v = \sum_t W_t\, \sigma(a \odot u_t + b)$: features of every channel and frame alone, mixed over channels and frames.

    **Arguments:**

    - `frames`, `channels`: of the input, frame after frame, oldest first: channel $c$ of frame $t$ is number
      `t * channels + c`.
    - `width`: channels of the result; half as many features per frame, equally many for each channel.
    - `key`: initial weights.

    **Raises:** `ConfigError` if half of `width` is no multiple of `channels`.

    **Source:** the released code of Li, Shu, Barati Farimani 2023, arXiv:2305.17560, in three dimensions.
    """

    gain: Float[Array, "channels features"]
    shift: Float[Array, "channels features"]
    mixing: Pointwise

    def __init__(self, frames: int, channels: int, width: int, *, key: PRNGKey):
        if width % (2 * channels):
            raise ConfigError(f"in_frames needs a width that is a multiple of {2 * channels}, twice the channels, got {width}.")
        gain_key, shift_key, mixing_key = jax.random.split(key, 3)
        shape = channels, width // 2 // channels
        self.gain = jax.random.uniform(gain_key, shape, minval=-1, maxval=1)
        self.shift = jax.random.uniform(shift_key, shape, minval=-1, maxval=1)
        self.mixing = Pointwise(frames * width // 2, width, bias=False, key=mixing_key)

    def __call__(self, u: Float[Array, "frames_channels *points"]) -> Float[Array, "width *points"]:
        channels, features = self.gain.shape
        frames = u.reshape(-1, channels, 1, u[0].size)
        gain, shift = (a.astype(u.dtype).reshape(1, channels, features, 1) for a in (self.gain, self.shift))
        return self.mixing(gelu(gain * frames + shift).reshape(-1, *u.shape[1:]))


class LatentMarcher(eqx.Module):
    r"""Steps in time of a latent field, at every point: $z \leftarrow z + e_s$, $z \leftarrow z + N(\operatorname{LN} z)$.

    The network $N$ over channels is the same in all steps; $e_s$ is a learned vector of each.

    **Arguments:**

    - `channels`, `hidden`: of $z$, and inside $N$.
    - `max_steps`: number of vectors $e_s$.
    - `key`: initial weights; $e_s$ normal with standard deviation 0.02.

    **Source:** Li, Shu, Barati Farimani 2023, arXiv:2305.17560, section 3.3.
    """

    steps: Float[Array, "steps channels"]
    norm: LayerNorm
    propagator: ChannelMLP

    def __init__(self, channels: int, hidden: int, max_steps: int, *, key: PRNGKey):
        steps_key, propagator_key = jax.random.split(key)
        self.steps = 0.02 * jax.random.normal(steps_key, (max_steps, channels))
        self.norm = LayerNorm(channels)
        self.propagator = ChannelMLP((channels, hidden, channels), key=propagator_key)

    def __call__(self, z: Float[Array, "channels *points"], num_steps: int) -> tuple[Float[Array, "channels *points"], ...]:
        """The states after steps 1 to `num_steps`."""
        states = []
        for step in self.steps[:num_steps]:
            z = z + step.astype(z.dtype).reshape(-1, *(1,) * (z.ndim - 1))
            z = z + self.propagator(self.norm(z))
            states.append(z)
        return tuple(states)


class GroupedPointwise(eqx.Module):
    """Linear maps of groups of neighboring channels, each group by its own matrix, at every point.

    **Arguments:**

    - `in_channels`, `out_channels`: multiples of `groups`.
    - `key`: draws the matrices as `Pointwise` does.
    """

    weight: Float[Array, "groups out in"]

    def __init__(self, in_channels: int, out_channels: int, groups: int, *, key: PRNGKey):
        limit = (in_channels // groups) ** -0.5
        shape = groups, out_channels // groups, in_channels // groups
        self.weight = jax.random.uniform(key, shape, minval=-limit, maxval=limit)

    def __call__(self, u: Float[Array, "channels *points"]) -> Float[Array, "out *points"]:
        groups, _, per_group = self.weight.shape
        return jnp.matmul(self.weight.astype(u.dtype), u.reshape(groups, per_group, -1)).reshape(-1, *u.shape[1:])
