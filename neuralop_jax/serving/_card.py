"""What has to be known of an operator to use it rightly, as JSON beside its weights."""

import dataclasses
from typing import Annotated, Any, Literal

from neuralop_jax._config_values import Bounds
from neuralop_jax.grids import Grid
from neuralop_jax.info import FieldInfo


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """What a `Predictor` compares its input with, and what a reader wants to know.

    **Arguments:**

    - `inputs`, `outputs`: names and units, in the order of the channels. `channels` counts all that a field has in a sample:
        those of every frame, where it varies in time.
    - `grid`: that of the training.
    - `smallest_grid`: the fewest points per axis that the operator reads; `None` if it reads the points of `grid` alone.
    - `dtype`: of the numbers that are computed with.
    - `batch_size`: samples computed at once.
    - `record`: JSON types for the reader: specification, normalizers, data, configuration, errors, versions.
    """

    inputs: tuple[FieldInfo, ...]
    outputs: tuple[FieldInfo, ...]
    grid: Grid
    smallest_grid: tuple[Annotated[int, Bounds(at_least=1.0)], ...] | None = None
    dtype: Literal["float16", "float32", "float64"] = "float32"
    batch_size: Annotated[int, Bounds(at_least=1.0)] = 32
    record: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def in_channels(self) -> int:
        """Channels of a sample that is read."""
        return sum(field.channels for field in self.inputs)

    @property
    def out_channels(self) -> int:
        """Channels of a sample that is predicted."""
        return sum(field.channels for field in self.outputs)

    def to_json(self) -> dict[str, Any]:
        """A dictionary of JSON types from which `from_json` makes an equal card."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "ModelCard":
        """The card that `to_json` described."""
        fields = {name: tuple(FieldInfo(**field) for field in data[name]) for name in ("inputs", "outputs")}
        smallest = data.get("smallest_grid")
        rest = {"grid": Grid.from_json(data["grid"]), "smallest_grid": None if smallest is None else tuple(smallest)}
        return cls(**{**data, **fields, **rest})
