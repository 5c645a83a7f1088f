"""What the contract test has to know of every registered model."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Case:
    """A small model on a grid of 16 x 16 points.

    - `options`: of its specification, without channels.
    - `resolution`: the largest relative difference between its values at 16 and at 32 points per axis, on the points that both
        grids have, for a band-limited input; or the reason why the model promises nothing of the kind.
    - `in_training`: whether a key changes the result (dropout, batch statistics).
    """

    options: dict[str, Any]
    resolution: float | str
    in_training: bool = False


CASES: dict[str, Case] = {
    "fno": Case({"n_modes": [6, 6], "width": 8, "depth": 2}, resolution=2e-3),
    "classic_fno": Case({"n_modes": [6, 6], "width": 8, "depth": 2}, resolution="its coordinates include both ends of the box"),
}
"""A case for every entry of the registry: a model that is not here fails the test."""
