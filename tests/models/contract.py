"""What the contract test has to know of every registered model."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Case:
    """A small model on a grid of 16 x 16 points, or on series of 16 observations.

    - `options`: of its specification, without channels.
    - `resolution`: the largest relative difference between its values at 16 and at 32 points per axis, on the points that both
        grids have, for a band-limited input; `None` for a model that claims nothing of the kind.
    - `out_channels`: channels of its output for an input of two.
    - `in_training`: whether a key changes the result (dropout, batch statistics).
    - `series`: whether it reads series, the first channel of which holds increasing times, instead of fields in the plane.
    """

    options: dict[str, Any]
    resolution: float | None = None
    out_channels: int = 1
    in_training: bool = False
    series: bool = False


CASES: dict[str, Case] = {
    "fno": Case({"n_modes": [6, 6], "width": 8, "depth": 2}, resolution=2e-3),
    "tfno": Case({"n_modes": [6, 6], "width": 8, "depth": 2, "rank": 0.3}, resolution=2e-3),
    "classic_fno": Case({"n_modes": [6, 6], "width": 8, "depth": 2}),
    "multigrid_patches": Case(
        {"operator": {"kind": "fno", "n_modes": [4, 4], "width": 8, "depth": 2}, "levels": 1, "padding": 0.125},
    ),
    "mgno": Case({"width": 6, "depth": 2, "smoothing": [[1, 0], [1, 1], [2, 0]]}),
    "lsm": Case({"width": 8, "num_scales": 3, "num_tokens": 2, "num_basis": 3}),
    "irregular_lsm": Case(
        {"width": 8, "n_modes": [8, 8], "latent_shape": [16, 16], "num_scales": 3, "num_tokens": 2, "num_basis": 3}
        | {"deformation_width": 8},
    ),
    "factformer": Case(
        {"width": 8, "depth": 2, "heads": 2, "head_width": 4, "norm_groups": 2, "periodic": True}, resolution=2e-3
    ),
    "autoregressive": Case(
        {"operator": {"kind": "fno", "n_modes": [6, 6], "width": 8, "depth": 1}, "times": [0.5, 1.25], "time_step": 0.5},
        resolution=2e-3,
        out_channels=4,
    ),
    "continuous_time": Case(
        {"operator": {"kind": "fno", "n_modes": [6, 6], "width": 8, "depth": 1}, "times": [0.5, 1.0], "time_step": 0.5}
        | {"solver": "heun"},
        resolution=2e-3,
        out_channels=4,
    ),
    "implicit_fno": Case({"n_modes": [6, 6], "width": 6, "rtol": 1e-7, "max_steps": 24, "accept": 10}, resolution=2e-3),
    "deeponet": Case({"width": 16, "num_basis": 32}),
    "pod_deeponet": Case({"width": 16, "num_modes": 16}),
    "neural_cde": Case({"width": 4, "hidden": [6], "steps": 1}, series=True),
    "multionet": Case({"width": 16, "depth": 3, "sum_layers": 2}),
}
"""A case for every entry of the registry: a model that is not here fails the test."""
