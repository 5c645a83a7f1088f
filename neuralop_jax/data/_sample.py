"""The unit of data: inputs by the names of the operator's arguments, the target kept apart."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jax import Array


class Sample(NamedTuple):
    """One training example, or a batch of them with a leading axis on every array.

    - `inputs`: a dictionary with keys among `"u"`, `"x"`, `"y"`, `"p"`, exactly the arguments of an operator's call;
      `inputs["u"]` is the input function, shape `(channels, *space)`.
    - `target`: the output function, shape `(channels, *space)`, in physical units.
    """

    inputs: Mapping[str, np.ndarray | Array]
    target: np.ndarray | Array
