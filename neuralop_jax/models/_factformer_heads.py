"""The two heads of the FactFormer: one output field, or several frames in time."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError
from neuralop_jax.layers import GroupNorm, Pointwise, gelu
from neuralop_jax.layers._latent_marching import GroupedPointwise, LatentMarcher
from neuralop_jax.models._options import check_hidden, check_sizes

_GROUPS = 8


class SteadyHead(eqx.Module):
    """Group norm, then a linear map to `width` channels, a GELU and an affine map to the output."""

    norm: GroupNorm
    hidden: Pointwise
    output: Pointwise

    def __init__(self, channels: int, out_channels: int, width: int, *, norm_groups: int, key: PRNGKey):
        _check_groups("norm_groups", norm_groups, channels, "the head")
        hidden_key, output_key = jax.random.split(key)
        self.norm = GroupNorm(channels, norm_groups)
        self.hidden = Pointwise(channels, width, bias=False, key=hidden_key)
        self.output = Pointwise(width, out_channels, key=output_key)

    def __call__(self, v: Float[Array, "channels batch *space"]) -> Float[Array, "out batch *space"]:
        return self.output(gelu(self.hidden(self.norm(v, batched=True))))


class MarchingHead(eqx.Module):
    """A linear map to a latent field, its steps in time (see `LatentMarcher`), and one decoder of every state.

    The decoder: group norm, linear maps of eight groups of channels to `width`, GELU, linear to half of it, GELU, affine.
    """

    expansion: Pointwise
    marcher: LatentMarcher
    norm: GroupNorm
    grouped: GroupedPointwise
    hidden: Pointwise
    output: Pointwise

    def __init__(
        self,
        channels: int,
        out_channels: int,
        width: int,
        *,
        latent_steps: int,
        max_latent_steps: int,
        latent_ratio: float,
        norm_groups: int,
        key: PRNGKey,
    ):
        check_sizes(latent_steps=latent_steps, max_latent_steps=max_latent_steps)
        check_hidden("latent_ratio", latent_ratio, width)
        if max_latent_steps < latent_steps:
            raise ConfigError(f"max_latent_steps {max_latent_steps} is less than latent_steps {latent_steps}. Raise it.")
        if out_channels % latent_steps:
            raise ConfigError(
                f"out_channels {out_channels} must be a multiple of latent_steps {latent_steps}, the frames of one call."
            )
        latent = int(latent_ratio * width)
        _check_groups("the eight groups of latent_steps", _GROUPS, width, "width")
        _check_groups("the eight groups of latent_steps", _GROUPS, latent, "latent_ratio times width")
        _check_groups("norm_groups", norm_groups, latent, "latent_ratio times width")
        keys = jax.random.split(key, 5)
        self.expansion = Pointwise(channels, latent, bias=False, key=keys[0])
        self.marcher = LatentMarcher(latent, width, max_latent_steps, key=keys[1])
        self.norm = GroupNorm(latent, norm_groups)
        self.grouped = GroupedPointwise(latent, width, _GROUPS, key=keys[2])
        self.hidden = Pointwise(width, width // 2, bias=False, key=keys[3])
        self.output = Pointwise(width // 2, out_channels // latent_steps, key=keys[4])

    def __call__(self, v: Float[Array, "channels batch *space"], latent_steps: int) -> Float[Array, "out batch *space"]:
        return jnp.concatenate([self._decode(z) for z in self.marcher(self.expansion(v), latent_steps)])

    def _decode(self, z: Array) -> Array:
        return self.output(gelu(self.hidden(gelu(self.grouped(self.norm(z, batched=True))))))


def _check_groups(name: str, groups: int, channels: int, what: str) -> None:
    if channels % groups:
        raise ConfigError(f"{name}: {groups} groups need a multiple of {groups} channels, {what} has {channels}. Change one.")
