"""The FactFormers of BaratiLab/FactFormer: four models in time and space, and their attention blocks alone."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.interop._factformer_places import Place, attention_places, model_places
from neuralop_jax.interop._ported import AbstractPorted
from neuralop_jax.interop._state import fill, read_config, read_state
from neuralop_jax.layers import FactorizedAttention
from neuralop_jax.models import FactFormer

_FAMILY = "factformer"
_BLOCK = ("dim", "dim_head", "latent_dim", "heads", "dim_out")
_BLOCK_DEFAULTS = {"use_rope": True, "kernel_multiplier": 3, "scaling_factor": 1.0}
_MODEL = ("in_dim", "out_dim", "dim", "depth", "dim_head", "heads", "kernel_multiplier")
_IN_TIME = ("in_time_window", "max_latent_steps")
_UNREAD: dict[str, Any] = dict.fromkeys(("pos_in_dim", "pos_out_dim", "positional_embedding", "reducer", "out_time_window"))
"""Options that the originals read and never use: their encoding is always rotary, with random Fourier features."""

_DARCY, _TURBULENCE, _SMOKE = 1.0, 2 * math.pi, 8.0
"""Lengths of the boxes on which the originals' scripts place the points."""

Batch = Float[Array, "batch *layout"]
Result = Float[Array, "batch *out_layout"]
Positions = Float[Array, "..."]


class BaratiAttention(AbstractPorted):
    """A `FABlock2D` or `FABlock3D` of BaratiLab/FactFormer, from `(B, *S, dim)` to `(B, *S, dim_out)`.

    It is called with a batch `x` and the coordinates of its axes, as vectors or columns; `model` holds the layer.

    **Source:** Li, Shu, Barati Farimani 2023, arXiv:2305.17560, with the space axes restored after the norm over heads, which the
    last commit of the released code leaves flat.

    !!! example

        ```python
        import numpy as np

        from neuralop_jax.interop import from_torch

        config = {"dim": 2, "dim_head": 2, "latent_dim": 2, "heads": 1, "dim_out": 2, "use_rope": False, "kernel_multiplier": 1}
        shapes = dict.fromkeys(("to_v", "to_in", "to_out.1", "to_out.3"), (2, 2)) | {"in_norm": (2,)}
        for axis, at in {"x": "to_x.0", "y": "to_y.1"}.items():
            shapes |= dict.fromkeys((f"{at}.to_in", f"low_rank_kernel_{axis}.to_q", f"low_rank_kernel_{axis}.to_k"), (2, 2))
            shapes |= {f"{at}.out_ffn.norm": (2,), f"{at}.out_ffn.fn.net.0": (4, 2), f"{at}.out_ffn.fn.net.3": (2, 2)}
        state = {f"{name}.weight": np.ones(shape) for name, shape in shapes.items()}
        state |= {f"{name}.weight": np.eye(2) for name in ("to_v", "to_out.1", "to_out.3")}
        state |= {f"{name}.bias": np.ones(shape[0]) for name, shape in shapes.items() if "norm" in name or "net" in name}
        attention = from_torch("factformer", config, state)
        x = np.sin(np.arange(18.0)).reshape(1, 3, 3, 2)
        y = attention(x=x, pos_x=np.arange(3.0), pos_y=np.arange(3.0))
        assert np.allclose(y, y[:, :1, :1])  # weights of ones make constant kernels, which sum over all points
        assert np.allclose(abs(y[..., 0] - y[..., 1]), (17 / 18) ** 0.5)  # gelu(s) - gelu(-s) = s, of unbiased variance 1
        ```
    """

    model: FactorizedAttention

    @property
    def difference(self) -> str:
        """Nowhere."""
        return ""

    @eqx.filter_jit
    def __call__(self, x: Batch, pos_x: Positions, pos_y: Positions, pos_z: Positions | None = None) -> Result:
        """The output of the original for a batch of inputs.

        **Raises:** `ModelInputError` for another layout.
        """
        axes, channels = _axes(pos_x, pos_y, pos_z), len(self.model.norm.scale)
        dims = len(self.model.projections)
        if (len(axes), x.ndim, x.shape[-1]) != (dims, dims + 2, channels):
            raise ModelInputError(_unlike(f"(batch, *space, {channels})", dims, x, axes))
        return jnp.moveaxis(self.model(jnp.moveaxis(x, -1, 0), axes), 0, -1)


class BaratiFactFormer(AbstractPorted):
    """A model of BaratiLab/FactFormer, called with a batch `x` and the coordinates of its axes, as vectors or columns.

    | original | `x` | result |
    |---|---|---|
    | `FactFormer2D` of `darcy2d_fact.py` | `(B, X, Y, C)` | `(B, X, Y, C')` |
    | `FactFormer2D` of `turb_ns2d_fact_lm.py` | `(B, X, Y, T)` | `(B, T', X, Y, C')` |
    | `FactFormer3D` of `turb_ns3d_fact_lm.py`, `threed_smokesim_fact_lm.py` | `(B, C, T, X, Y, Z)` | `(B, T', X, Y, Z, C')` |

    `model` takes its own coordinates, from 0 to its `extent`; the originals are given theirs, in the smoke model also those of
    the padded points. `extent` is an option of the configuration here; without it, it is that of the original's script: 1 for
    Darcy flow, $2\\pi$ for turbulence, 8 for smoke. Grids on which an original fails are refused: another resolution than the
    configured one for Darcy flow, odd numbers of points for smoke. `model` takes any.

    **Source:** as in `BaratiAttention`.

    !!! example

        ```python
        import equinox as eqx
        import jax
        import jax.numpy as jnp
        import numpy as np

        from neuralop_jax.interop import BaratiFactFormer
        from neuralop_jax.models import FactFormer

        options = {"in_channels": 1, "out_channels": 1, "width": 8, "depth": 1, "heads": 1, "head_width": 2}
        empty = eqx.filter_eval_shape(FactFormer, **options, key=jax.random.key(0))
        model = jax.tree.map(lambda leaf: jnp.asarray(np.cos(np.arange(leaf.size)).reshape(leaf.shape)), empty)
        original = BaratiFactFormer(model, resolution=None)  # or from_torch("factformer", config, state_dict)
        x, axis = np.arange(16.0).reshape(1, 4, 4, 1), np.linspace(0, 1, 4)
        native = eqx.filter_jit(model)(x[..., 0])[0]
        assert jnp.allclose(original(x=x, pos_x=axis, pos_y=axis)[0, ..., 0], native, atol=1e-4)
        assert not jnp.allclose(original(x=x, pos_x=axis**2, pos_y=axis)[0, ..., 0], native, atol=1e-2)
        ```
    """

    model: FactFormer
    resolution: int | None = eqx.field(static=True)

    @property
    def difference(self) -> str:
        """Where `model` is another function than the original: on points that do not fill the `extent` evenly."""
        model = self.model
        lengths = model.extent if isinstance(model.extent, tuple) else (model.extent,) * model.num_dims
        boxes = " x ".join(f"[0, {length:.5g}]" for length in lengths)
        said = f".model spreads the points of each axis evenly over {boxes}, ends included, the original takes them as given"
        if model.padding:
            said += "; those of the padding keep the spacing of the others, L/(N - 1), in the original's script L/N"
        return said

    @eqx.filter_jit
    def __call__(self, x: Batch, pos_x: Positions, pos_y: Positions, pos_z: Positions | None = None) -> Result:
        """The output of the original for a batch of inputs.

        **Raises:** `ModelInputError` for another layout, or a grid on which the original fails.
        """
        model, axes = self.model, _axes(pos_x, pos_y, pos_z)
        v = model.at(self._stacked(x, axes), axes)
        if not model.latent_steps:
            return jnp.moveaxis(v, 0, -1)
        v = v.reshape(model.latent_steps, -1, *v.shape[1:])  # (frames, channels, batch, *space)
        return jnp.moveaxis(v, (2, 0, 1), (0, 1, -1))

    def _stacked(self, x: Batch, axes: Sequence[Array]) -> Array:
        """The input as `(frames * channels, batch, *space)`."""
        dims, frames, channels = self.model.num_dims, self.model.in_frames, self.model.in_channels
        if frames:
            wanted, fits = f"(batch, {channels // frames}, {frames}, *space)", x.shape[1:3] == (channels // frames, frames)
        else:
            wanted, fits = f"(batch, *space, {channels})", x.shape[-1] == channels
        if not fits or len(axes) != dims or x.ndim != dims + (3 if frames else 2):
            raise ModelInputError(_unlike(wanted, dims, x, axes))
        space = x.shape[-dims:] if frames else x.shape[1:-1]
        if self.resolution is not None and set(space) != {self.resolution}:
            raise ModelInputError(f"{_FAMILY}: the original works at resolution {self.resolution} only, got {space}; use .model.")
        if frames and self.model.branch and any(n % 2 for n in space):
            raise ModelInputError(f"{_FAMILY}: the original needs even numbers of points, got {space}; use .model.")
        return jnp.moveaxis(x, (2, 1), (0, 1)).reshape(-1, len(x), *space) if frames else jnp.moveaxis(x, -1, 0)


def _axes(*positions: Positions | None) -> list[Array]:
    return [jnp.ravel(p) for p in positions if p is not None]


def _unlike(wanted: str, dims: int, x: Batch, axes: Sequence[Array]) -> str:
    return f"{_FAMILY}: wanted x as {wanted} and positions on {dims} axes, got {x.shape} and positions on {len(axes)}."


def port_factformer(config: Mapping[str, Any], state_dict: Mapping[str, Any]) -> BaratiAttention | BaratiFactFormer:
    """The network that the original's class with this configuration and state dict is."""
    num_dims = 3 if any("low_rank_kernel_z" in str(name) for name in state_dict) else 2
    if "latent_dim" in config:
        full = read_config(_FAMILY, config, _BLOCK_DEFAULTS, _BLOCK)
        return BaratiAttention(_filled(*_block(full, num_dims), state_dict))
    full = _read_model(config)
    options = _options(full, num_dims)
    skeleton = eqx.filter_eval_shape(FactFormer, **options, key=jax.random.key(0))
    return BaratiFactFormer(_filled(skeleton, model_places(options), state_dict), full.get("resolution"))


def _filled(skeleton: Any, places: Mapping[str, Place], state_dict: Mapping[str, Any]) -> Any:
    arrays = read_state(_FAMILY, state_dict, {name: place.shape for name, place in places.items()}, spectral=())
    turned = {name: places[name].turn(array) for name, array in arrays.items()}
    return fill(skeleton, {name: place.leaf for name, place in places.items()}, turned)


def _block(full: Mapping[str, Any], num_dims: int) -> tuple[FactorizedAttention, dict[str, Place]]:
    channels, out_channels = full["dim"], full["dim_out"]
    sizes = {
        "heads": full["heads"],
        "head_width": full["dim_head"],
        "kernel_multiplier": full["kernel_multiplier"],
        "latent_channels": full["latent_dim"],
        "rotary": full["use_rope"],
    }
    scaling = None if full["kernel_multiplier"] > 4 else full["scaling_factor"]  # which the original does not read above 4
    build = functools.partial(FactorizedAttention, scaling=scaling, **sizes)
    skeleton = eqx.filter_eval_shape(build, num_dims, channels, out_channels, key=jax.random.key(0))
    return skeleton, attention_places("", lambda m: m, num_dims, channels, out_channels, **sizes)


def _read_model(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of one of the four models, told apart by the keys that only some of them read."""
    if "in_time_window" not in config:
        return read_config(_FAMILY, config, {**_UNREAD, "extent": _DARCY}, (*_MODEL, "resolution"))
    ratio = "latent_mutliplier" if "latent_mutliplier" in config else "latent_multiplier"  # spelled so in one original
    required = (*_MODEL, *_IN_TIME, ratio)
    extent = _TURBULENCE
    if "padding" in config:
        required, extent = (*required, "padding"), _SMOKE
    full = read_config(_FAMILY, config, {**_UNREAD, "latent_steps": 1, "extent": extent}, required)
    full["latent_multiplier"] = full.pop("latent_mutliplier", full.get("latent_multiplier"))
    return full


def _options(full: Mapping[str, Any], num_dims: int) -> dict[str, Any]:
    """The arguments of `FactFormer`."""
    lengths = full["extent"] if isinstance(full["extent"], list | tuple) else [full["extent"]]
    if not all(isinstance(length, int | float) and not isinstance(length, bool) for length in lengths):
        raise ConfigError(f"{_FAMILY}: extent must be one length, or one per axis, got {full['extent']!r}.")
    options = {
        "num_dims": num_dims,
        "width": full["dim"],
        "depth": full["depth"],
        "heads": full["heads"],
        "head_width": full["dim_head"],
        "kernel_multiplier": full["kernel_multiplier"],
        "extent": full["extent"],
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
