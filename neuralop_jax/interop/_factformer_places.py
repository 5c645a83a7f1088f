"""Where the entries of BaratiLab/FactFormer's state dicts go."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

_AXES = "xyz"


@dataclasses.dataclass(frozen=True)
class Place:
    """An entry of the state dict: its shape there, the leaf it becomes, and how its axes are turned before."""

    shape: tuple[int, ...]
    leaf: Callable[[Any], Any]
    turn: Callable[[np.ndarray], np.ndarray] = lambda array: array


def attention_places(
    prefix: str,
    layer: Callable[[Any], Any],
    num_dims: int,
    channels: int,
    out_channels: int,
    *,
    heads: int,
    head_width: int,
    kernel_multiplier: int,
    latent_channels: int,
    rotary: bool = True,
) -> dict[str, Place]:
    """The entries of one `FABlock2D` or `FABlock3D`, which becomes the `FactorizedAttention` `layer(model)`."""
    inner, width = heads * head_width, head_width * kernel_multiplier
    places = {
        **_affine("in_norm", (channels,), layer, lambda m: m.norm),
        **_affine("to_v", (inner, channels), layer, lambda m: m.value, bias=False),
        **_affine("to_in", (channels, channels), layer, lambda m: m.mixing, bias=False),
        **_affine("to_out.1", (out_channels, inner), layer, lambda m: m.first, bias=False),
        **_affine("to_out.3", (out_channels, out_channels), layer, lambda m: m.second, bias=False),
    }
    for i, axis in enumerate(_AXES[:num_dims]):
        name = f"to_{axis}.{min(i, 1)}"
        at = lambda m, i=i: layer(m).projections[i]  # noqa: E731
        places |= _affine(f"{name}.to_in", (channels, channels), at, lambda m: m.mixing, bias=False)
        places |= _affine(f"{name}.out_ffn.norm", (channels,), at, lambda m: m.norm)
        places |= _affine(f"{name}.out_ffn.fn.net.0", (2 * channels, channels), at, lambda m: m.gate)
        places |= _affine(f"{name}.out_ffn.fn.net.3", (latent_channels, channels), at, lambda m: m.output)
        name, at = f"low_rank_kernel_{axis}", lambda m, i=i: layer(m).axis_kernels[i]
        places |= _affine(f"{name}.to_q", (heads * width, latent_channels), at, lambda m: m.query, bias=False)
        places |= _affine(f"{name}.to_k", (heads * width, latent_channels), at, lambda m: m.source, bias=False)
        if rotary:
            leaf = lambda m, at=at: at(m).frequencies.value  # noqa: E731
            places[f"{name}.pos_emb.inv_freq"] = Place((width // 2,), leaf, lambda array: 64 * array)
    return {prefix + name: place for name, place in places.items()}


def model_places(options: Mapping[str, Any]) -> dict[str, Place]:
    """The entries of the model that becomes a `FactFormer` of these options."""
    width, num_dims, in_channels = options["width"], options["num_dims"], options["in_channels"]
    places: dict[str, Place] = {}
    if options["in_frames"]:
        places |= _lifting(options["in_frames"], in_channels // options["in_frames"], width)
    else:
        places |= _affine("to_in", (width, in_channels), _whole, lambda m: m.lifting)
    for i in range(options["depth"]):
        name = f"encoder.layers.{i}"
        places[f"{name}.0.0._B"] = Place((num_dims, width // 2), lambda m, i=i: m.features[i].wavenumbers.value)
        places |= _affine(f"{name}.0.1", (width, width), _whole, lambda m, i=i: m.positions[i])
        sizes = {key: options[key] for key in ("heads", "head_width", "kernel_multiplier")}
        layer = lambda m, i=i: m.attentions[i]  # noqa: E731
        places |= attention_places(f"{name}.1.", layer, num_dims, width, width, latent_channels=width, **sizes)
    if options["branch"]:
        kernel, half = (3,) * num_dims, width // 2
        places |= _affine("down_block.1", (half, width, *kernel), _whole, lambda m: m.coarse.down[0])
        places |= _affine("down_block.3", (half, half, *kernel), _whole, lambda m: m.coarse.down[1])
        places |= _affine("up_block.1", (half, half, *kernel), _whole, lambda m: m.coarse.up[0])
        places |= _affine("up_block.3", (width, half, *kernel), _whole, lambda m: m.coarse.up[1])
    joined = 2 * width if options["branch"] else width
    return places | (_marching(options, joined) if options.get("latent_steps") else _steady(options, joined))


def _lifting(frames: int, channels: int, width: int) -> dict[str, Place]:
    half = width // 2
    mixed = lambda array: array[..., 0].transpose(0, 2, 1)  # noqa: E731  frames before features
    return {
        "to_in.0.weight": Place((half, 1, 1, 1), lambda m: m.lifting.gain),
        "to_in.0.bias": Place((half,), lambda m: m.lifting.shift),
        "to_in.2.weight": Place((width, half, frames, 1), lambda m: m.lifting.mixing.weight, mixed),
    }


def _steady(options: Mapping[str, Any], joined: int) -> dict[str, Place]:
    width, out = options["width"], options["out_channels"]
    return {
        **_affine("simple_to_out.1", (joined,), _whole, lambda m: m.head.norm),
        **_affine("simple_to_out.2", (width, joined, 1), _whole, lambda m: m.head.hidden, bias=False),
        **_affine("simple_to_out.4", (out, width, 1), _whole, lambda m: m.head.output),
    }


def _marching(options: Mapping[str, Any], joined: int) -> dict[str, Place]:
    width, latent = options["width"], int(options["latent_ratio"] * options["width"])
    out = options["out_channels"] // options["latent_steps"]
    steps = (1, options["max_latent_steps"], *(1,) * options["num_dims"], latent)
    return {
        **_affine("expand_latent", (latent, joined), _whole, lambda m: m.head.expansion, bias=False),
        "latent_time_emb": Place(steps, lambda m: m.head.marcher.steps),
        **_affine("propagator.norm", (latent,), _whole, lambda m: m.head.marcher.norm),
        **_affine("propagator.fn.net.0", (width, latent), _whole, lambda m: m.head.marcher.propagator.layers[0]),
        **_affine("propagator.fn.net.3", (latent, width), _whole, lambda m: m.head.marcher.propagator.layers[1]),
        **_affine("simple_to_out.1", (latent,), _whole, lambda m: m.head.norm),
        **_affine("simple_to_out.2", (width, latent // 8, 1), _whole, lambda m: m.head.grouped, bias=False),
        **_affine("simple_to_out.4", (width // 2, width, 1), _whole, lambda m: m.head.hidden, bias=False),
        **_affine("simple_to_out.6", (out, width // 2, 1), _whole, lambda m: m.head.output),
    }


def _whole(model: Any) -> Any:
    return model


def _affine(
    name: str, shape: tuple[int, ...], of: Callable[[Any], Any], part: Callable[[Any], Any], *, bias: bool = True
) -> dict[str, Place]:
    """Weight and bias of an affine map or convolution, or scale and shift of a norm, whose weight is a vector."""
    norm = len(shape) == 1
    places = {f"{name}.weight": Place(shape, lambda m: part(of(m)).scale if norm else part(of(m)).weight)}
    if bias:
        places[f"{name}.bias"] = Place(shape[:1], lambda m: part(of(m)).shift if norm else part(of(m)).bias)
    return places
