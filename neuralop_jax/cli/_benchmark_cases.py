"""The networks that `benchmark` times, each as its authors configure it and as it is specified here."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array


@dataclasses.dataclass(frozen=True)
class ModelCase:
    """A network and a batch for it.

    - `name`: in words.
    - `family`: whose code it is, as for `from_torch`.
    - `config`: the arguments of the original's constructor.
    - `inputs`: shapes of its inputs by name, in the layout of the original.
    - `spec`: the same network in this library, for where the original is not at hand.
    """

    name: str
    family: str
    config: dict[str, Any]
    inputs: dict[str, tuple[int, ...]]
    spec: dict[str, Any]

    def native(self, inputs: Mapping[str, Array]) -> Array:
        """The batch of input functions in the layout of this library, channels first."""
        first = inputs[next(iter(self.inputs))]
        if self.family in ("deeponet", "multionet"):
            return inputs["branch" if self.family == "deeponet" else "a"][:, None]
        return jnp.moveaxis(first, -1, 1) if self.family in ("lsm", "factformer") else first


def fno_case(batch: int, points: int, width: int, n_modes: int, **more: Any) -> ModelCase:
    """neuraloperator's FNO of four blocks on a square, one channel in and out."""
    name = f"batch {batch}, {points}x{points}, width {width}, n_modes {n_modes}"
    config = {"n_modes": [n_modes] * 2, "in_channels": 1, "out_channels": 1, "hidden_channels": width, **more}
    spec = {"kind": "fno", "n_modes": [n_modes] * 2, "in_channels": 1, "out_channels": 1, "width": width}
    if more:
        name = f"TFNO ({more['factorization']}, rank {more['rank']}), {name}"
        spec |= {"factorization": more["factorization"].lower(), "rank": more["rank"]}
    return ModelCase(name, "neuraloperator_fno", config, {"x": (batch, 1, points, points)}, spec)


FNO_CASES = (fno_case(16, 64, 32, 16), fno_case(4, 128, 64, 24), fno_case(64, 16, 24, 8))
GPU_CASE = fno_case(32, 128, 64, 32)
_LEVELS = [[1, 0], [1, 0], [1, 0], [1, 0], [2, 0]]
MODEL_CASES = (
    fno_case(16, 64, 32, 16, factorization="Tucker", rank=0.1),
    fno_case(4, 128, 64, 24, factorization="Tucker", rank=0.1),
    ModelCase(
        "MgNO for Darcy, batch 8, 64x64, width 24",
        "mgno",
        {"cls": "MgNO_DC", "num_layer": 4, "num_channel_u": 24, "num_channel_f": 1, "num_classes": 1, "num_iteration": _LEVELS},
        {"x": (8, 1, 64, 64)},
        {
            "kind": "mgno",
            "in_channels": 1,
            "out_channels": 1,
            "num_dims": 2,
            "smoothing": _LEVELS,
            "zero_padded_prolongation": True,
        },
    ),
    ModelCase(
        "LSM, batch 4, 64x64, width 32",
        "lsm",
        {
            "in_dim": 1,
            "out_dim": 1,
            "d_model": 32,
            "num_token": 4,
            "num_basis": 12,
            "patch_size": "4,4",
            "padding": "0,0",
        },
        {"x": (4, 64, 64, 1)},
        {"kind": "lsm", "in_channels": 1, "out_channels": 1, "num_dims": 2, "width": 32, "norm": "batch"},
    ),
    ModelCase(
        "FactFormer for Darcy, batch 4, 64x64, width 64",
        "factformer",
        {
            "in_dim": 1,
            "out_dim": 1,
            "dim": 64,
            "depth": 2,
            "dim_head": 32,
            "reducer": None,
            "resolution": 64,
            "heads": 6,
            "pos_in_dim": 2,
            "pos_out_dim": 2,
            "positional_embedding": "rotary",
            "kernel_multiplier": 2,
        },
        {"x": (4, 64, 64, 1), "pos_x": (64, 1), "pos_y": (64, 1)},
        {
            "kind": "factformer",
            "in_channels": 1,
            "out_channels": 1,
            "width": 64,
            "depth": 2,
            "heads": 6,
            "head_width": 32,
            "branch": True,
        },
    ),
    ModelCase(
        "DeepONet, 256 functions at 128 points",
        "deeponet",
        {
            "cls": "DeepONetCartesianProd",
            "layer_sizes_branch": [128, 128, 128, 128, 128],
            "layer_sizes_trunk": [1, 128, 128, 128],
            "activation": "tanh",
            "kernel_initializer": "Glorot normal",
        },
        {"branch": (256, 128), "trunk": (128, 1)},
        {"kind": "deeponet", "in_channels": 1, "out_channels": 1, "sensors": [128]},
    ),
    ModelCase(
        "MultiONet, 256 functions at 128 points",
        "multionet",
        {
            "cls": "MultiONetCartesianProd",
            "in_size_x": 1,
            "in_size_a": 128,
            "trunk_layers": [100] * 6,
            "branch_layers": [100] * 6,
            "sum_layers": 5,
        },
        {"x": (128, 1), "a": (256, 128)},
        {"kind": "multionet", "in_channels": 1, "out_channels": 1, "sensors": [128], "width": 100, "depth": 6, "sum_layers": 5},
    ),
)
