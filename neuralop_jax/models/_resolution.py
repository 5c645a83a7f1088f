"""What an operator claims of the grids that it is called on."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class ResolutionClaim:
    """How far the output of an operator, as a function, is independent of the grid of its input.

    It is about functions on the periodic box that the grid resolves, and grids that hold all kept modes. What is claimed can be
    tested: `evaluation.certify` does.

    - `kind`: `"exact"`, the values at points that two grids share agree to round-off; `"converges"`, they approach each other as
        the grids become finer; `"none"`, nothing is claimed.
    - `reason`: what lets them differ, in a few words; for `"exact"` why nothing does.
    """

    kind: Literal["exact", "converges", "none"]
    reason: str


FOLDED = "products and activations, of which a grid folds back what it does not resolve"
"""Why a network of band-limited layers is not exact."""


def fourier_causes(coordinates: bool, padding: bool, *, nonlinear: bool) -> tuple[str, ...]:
    """What lets the values of a Fourier neural operator on two grids differ."""
    found = {
        FOLDED: nonlinear,
        "coordinates, which jump at the edge of the box": coordinates,
        "zeros beyond the edge, as many points as come nearest to a part of the box": padding,
    }
    return tuple(cause for cause, there in found.items() if there)
