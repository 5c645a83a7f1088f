"""The FactFormers of BaratiLab/FactFormer: four models in time and space, and their attention blocks alone."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.interop._factformer_places import Place, attention_places, model_places
from neuralop_jax.interop._state import fill, read_config, read_state
from neuralop_jax.layers import FactorizedAttention
from neuralop_jax.models import FactFormer

_FAMILY = "factformer"
_BLOCK = ("dim", "dim_head", "latent_dim", "heads", "dim_out")
_BLOCK_DEFAULTS = {"use_rope": True, "kernel_multiplier": 3, "scaling_factor": 1.0}
_MODEL = ("in_dim", "out_dim", "dim", "depth", "dim_head", "heads", "kernel_multiplier")
_IN_TIME = ("in_time_window", "max_latent_steps")
_UNREAD = dict.fromkeys(("pos_in_dim", "pos_out_dim", "positional_embedding", "reducer", "out_time_window"))
"""Options that the originals read and never use: their encoding is always rotary, with random Fourier features."""


class BaratiFactFormer(eqx.Module):
    """A model of BaratiLab/FactFormer, called with a batch `x` and the coordinates of its axes as vectors or columns.

    | original | `x` | result |
    |---|---|---|
    | `FactFormer2D` of `darcy2d_fact.py` | `(B, X, Y, C)` | `(B, X, Y, C')` |
    | `FactFormer2D` of `turb_ns2d_fact_lm.py` | `(B, X, Y, T)` | `(B, T', X, Y, C')` |
    | `FactFormer3D` of `turb_ns3d_fact_lm.py` and `threed_smokesim_fact_lm.py` | `(B, C, T, X, Y, Z)` | `(B, T', X, Y, Z, C')` |
    | `FABlock2D`, `FABlock3D` | `(B, *S, C)` | `(B, *S, C')` |

    `model` holds the operator, a `FactFormer` or for a block alone a `FactorizedAttention`. It takes its own coordinates, both
    ends of its `extent` included; the originals are given theirs, in the smoke model also those of the padded points.

    **Source:** Li, Shu, Barati Farimani 2023, arXiv:2305.17560, with the spatial axes restored after the norm over heads, which
    the last commit of the released code leaves flat.
    """

    model: FactFormer | FactorizedAttention
    frames_first: bool = eqx.field(static=True)
    resolution: int | None = eqx.field(static=True)

    def __call__(
        self,
        x: Float[Array, "batch *layout"],
        pos_x: Float[Array, "..."],
        pos_y: Float[Array, "..."],
        pos_z: Float[Array, "..."] | None = None,
    ) -> Float[Array, "batch *out_layout"]:
        """The output of the original for a batch of inputs.

        **Raises:** `ModelInputError` for another layout, or a grid on which the original fails.
        """
        coordinates = [jnp.ravel(pos) for pos in (pos_x, pos_y, pos_z) if pos is not None]
        u = self._stacked(x, len(coordinates))
        if isinstance(self.model, FactorizedAttention):
            return jnp.moveaxis(self.model(u, coordinates), 0, -1)
        v = self.model.at(u, coordinates)
        if not self.model.latent_steps:
            return jnp.moveaxis(v, 0, -1)
        v = v.reshape(self.model.latent_steps, -1, *v.shape[1:])  # (frames, channels, batch, *space)
        return jnp.moveaxis(v, (2, 0, 1), (0, 1, -1))

    def _stacked(self, x: Array, num_dims: int) -> Array:
        """The input with channels, or frames of channels, first: `(channels, batch, *space)`."""
        attention = isinstance(self.model, FactorizedAttention)
        dims = len(self.model.projections) if isinstance(self.model, FactorizedAttention) else self.model.num_dims
        channels = len(self.model.norm.scale) if isinstance(self.model, FactorizedAttention) else self.model.in_channels
        found = x.shape[1] * x.shape[2] if self.frames_first and x.ndim > 2 else x.shape[-1]
        if num_dims != dims or x.ndim != dims + (3 if self.frames_first else 2) or found != channels:
            wanted = f"(batch, channels, frames, *space) with {channels}" if self.frames_first else f"(batch, *space, {channels})"
            if self.frames_first:
                wanted += " channels in all frames"
            raise ModelInputError(
                f"{_FAMILY}: wanted x as {wanted} on {dims} axes, each with coordinates; got shape {x.shape} with {num_dims}."
            )
        space = x.shape[3:] if self.frames_first else x.shape[1:-1]
        if not attention and self.resolution is not None and set(space) != {self.resolution}:
            raise ModelInputError(f"{_FAMILY}: the original works at resolution {self.resolution} only, got {space}; use .model.")
        if self.frames_first:
            if not attention and self.model.branch and any(n % 2 for n in space):
                raise ModelInputError(f"{_FAMILY}: the original needs even numbers of points, got {space}; use .model.")
            return jnp.moveaxis(x, (2, 1), (0, 1)).reshape(-1, len(x), *space)
        return jnp.moveaxis(x, -1, 0)


def port_factformer(config: Mapping[str, Any], state_dict: Mapping[str, Any]) -> BaratiFactFormer:
    """The network that the original's class with this configuration and state dict is."""
    num_dims = 3 if any("low_rank_kernel_z" in str(name) for name in state_dict) else 2
    if "latent_dim" in config:
        full = read_config(_FAMILY, config, _BLOCK_DEFAULTS, _BLOCK)
        build: Callable[..., Any] = FactorizedAttention
        arguments, options, places = _block(full, num_dims)
        frames_first, resolution = False, None
    else:
        full = _read_model(config)
        build, arguments, places = FactFormer, (), {}
        options = _options(full, num_dims)
        frames_first, resolution = bool(options["in_frames"]), full.get("resolution")
        places = model_places(options)
    model = eqx.filter_eval_shape(build, *arguments, **options, key=jax.random.key(0))
    arrays = read_state(_FAMILY, state_dict, {name: place.shape for name, place in places.items()}, spectral=())
    turned = {name: places[name].turn(array) for name, array in arrays.items()}
    return BaratiFactFormer(fill(model, {n: p.leaf for n, p in places.items()}, turned), frames_first, resolution)


def _block(full: Mapping[str, Any], num_dims: int) -> tuple[Sequence[Any], dict[str, Any], dict[str, Place]]:
    options = {
        "heads": full["heads"],
        "head_width": full["dim_head"],
        "kernel_multiplier": full["kernel_multiplier"],
        "latent_channels": full["latent_dim"],
        "rotary": full["use_rope"],
        "scaling": full["scaling_factor"],
    }
    places = attention_places("", lambda m: m, num_dims, full["dim"], full["dim_out"], **_sizes(options))
    return (num_dims, full["dim"], full["dim_out"]), options, places


def _sizes(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "scaling"}


def _read_model(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of one of the four models, told apart by the keys that only some of them read."""
    if "in_time_window" not in config:
        return read_config(_FAMILY, config, _UNREAD, (*_MODEL, "resolution"))
    ratio = "latent_mutliplier" if "latent_mutliplier" in config else "latent_multiplier"  # spelled so in one original
    required = (*_MODEL, *_IN_TIME, ratio)
    if "padding" in config:
        required = (*required, "padding")
    full = read_config(_FAMILY, config, {**_UNREAD, "latent_steps": 1}, required)
    full["latent_multiplier"] = full.pop("latent_mutliplier", full.get("latent_multiplier"))
    return full


def _options(full: Mapping[str, Any], num_dims: int) -> dict[str, Any]:
    """The arguments of `FactFormer`."""
    options = {
        "num_dims": num_dims,
        "width": full["dim"],
        "depth": full["depth"],
        "heads": full["heads"],
        "head_width": full["dim_head"],
        "kernel_multiplier": full["kernel_multiplier"],
    }
    if "in_time_window" not in full:
        return options | {"in_channels": full["in_dim"], "out_channels": full["out_dim"], "branch": True, "in_frames": 0}
    smoke, frames, ratio = "padding" in full, full["in_time_window"], full["latent_multiplier"]
    if num_dims == 2 and smoke:
        raise ConfigError(f"{_FAMILY}: padding is an option of the smoke model, but the state dict is of two dimensions.")
    return options | {
        "in_channels": frames if num_dims == 2 else frames * full["in_dim"],
        "in_frames": 0 if num_dims == 2 else frames,
        "out_channels": full["out_dim"] * full["latent_steps"],
        "latent_steps": full["latent_steps"],
        "max_latent_steps": full["max_latent_steps"],
        "latent_ratio": ratio,
        "norm_groups": int(8 * ratio) if num_dims == 2 or smoke else 8,
        "padding": full.get("padding", 0),
        "branch": smoke,
    }
