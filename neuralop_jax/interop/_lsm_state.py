"""The entries of the state dict of a latent spectral model, and the leaves that they become."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

from neuralop_jax.interop._state import read_state
from neuralop_jax.layers import BatchNorm, DoubleConvolution, LatentUNet, NeuralSpectralBlock, Pointwise

Leaf = Callable[[Any], Any]
Places = dict[str, tuple[tuple[int, ...], Leaf]]
"""For every entry its shape there and the leaf of the operator with its numbers."""


def affine(name: str, where: Callable[[Any], Pointwise], model: Any, kernel: int = 0) -> Places:
    """The entries of an affine map of channels: a linear layer, or a convolution with `kernel` axes of one point."""
    out, in_ = where(model).weight.shape
    return {
        f"{name}.weight": ((out, in_, *(1,) * kernel), lambda m: where(m).weight),
        f"{name}.bias": ((out,), lambda m: where(m).bias),
    }


def latent_network(model: Any, where: Callable[[Any], LatentUNet]) -> Places:
    """The entries of the U-shaped network of `model` with its neural spectral blocks."""
    network = where(model)
    scales, dims = len(network.down), network.num_dims
    places = affine("outc.conv", lambda m: where(m).mix, model, dims)
    for i, convolutions in enumerate(network.down):
        name = f"down{i}.maxpool_conv.1.double_conv" if i else "inc.double_conv"
        places |= _double_convolution(name, convolutions, lambda m, i=i: where(m).down[i])
    for i, convolutions in enumerate(network.up):
        places |= _double_convolution(f"up{scales - 1 - i}.conv.double_conv", convolutions, lambda m, i=i: where(m).up[i])
    for i, block in enumerate(network.across):
        places |= _spectral_block(f"process{i + 1}", block, lambda m, i=i: where(m).across[i], dims)
    return places


def read_latent_state(
    family: str, state_dict: Mapping[str, Any], places: Places, scales: int, spectral: tuple[str, ...] = ()
) -> tuple[dict[str, Leaf], dict[str, Any]]:
    """Where every array goes, and the arrays: keys apart from values, sines from cosines, as this library keeps them."""
    shapes = {name: shape for name, (shape, _) in places.items()}
    ignored = [name for name in state_dict if str(name).endswith("num_batches_tracked")]
    arrays: dict[str, Any] = {**read_state(family, state_dict, shapes, spectral=spectral, ignored=ignored)}
    where = {name: leaf for name, (_, leaf) in places.items()}
    for i in range(1, scales + 1):
        for entry in ("weight", "bias"):  # even channels are keys, odd ones values
            name = f"process{i}.encoder_attn.{entry}"
            arrays[name] = np.concatenate([arrays[name][0::2], arrays[name][1::2]])
        name = f"process{i}.weights"
        block, sines_and_cosines = where.pop(name), arrays.pop(name).T
        half = len(sines_and_cosines) // 2
        for part, rows in (("sines", slice(half)), ("cosines", slice(half, None))):
            arrays[f"{name}.{part}"] = sines_and_cosines[rows]
            where[f"{name}.{part}"] = lambda m, block=block, part=part: getattr(block(m), part)
    return where, arrays


def _double_convolution(name: str, layer: DoubleConvolution, where: Callable[[Any], DoubleConvolution]) -> Places:
    places: Places = {}
    for i in range(2):
        norm = f"{name}.{3 * i + 1}"
        size = layer.norms[i].scale.shape
        places[f"{name}.{3 * i}.weight"] = layer.convolutions[i].weight.shape, lambda m, i=i: where(m).convolutions[i].weight
        places[f"{norm}.weight"] = size, lambda m, i=i: where(m).norms[i].scale
        places[f"{norm}.bias"] = size, lambda m, i=i: where(m).norms[i].shift
        if isinstance(layer.norms[i], BatchNorm):
            places[f"{norm}.running_mean"] = size, lambda m, i=i: cast(BatchNorm, where(m).norms[i]).mean.value
            places[f"{norm}.running_var"] = size, lambda m, i=i: cast(BatchNorm, where(m).norms[i]).variance.value
    return places


def _spectral_block(name: str, block: NeuralSpectralBlock, where: Callable[[Any], NeuralSpectralBlock], dims: int) -> Places:
    basis, width = block.sines.shape
    ones = (1,) * dims
    return {
        f"{name}.weights": ((width, 2 * basis), where),
        f"{name}.latent": (block.queries.shape, lambda m: where(m).queries),
        f"{name}.encoder_attn.weight": ((2 * width, width, *ones), lambda m: where(m).encode.weight),
        f"{name}.encoder_attn.bias": ((2 * width,), lambda m: where(m).encode.bias),
        f"{name}.decoder_attn.weight": ((width, width, *ones), lambda m: where(m).decode.weight),
        f"{name}.decoder_attn.bias": ((width,), lambda m: where(m).decode.bias),
    }
