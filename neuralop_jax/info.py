"""What is known of a dataset and its fields beside the numbers: names, units, grids, splits, source."""

import dataclasses
from typing import Annotated, Any

from neuralop_jax._config_values import Bounds
from neuralop_jax.grids import Grid


@dataclasses.dataclass(frozen=True)
class FieldInfo:
    """A stored field: its name, unit, number of channels, and whether it has a time axis.

    A time-varying field has shape `(samples, time, *space)`, another `(samples, *space)`; with `channels` above one a channel
    axis stands before the space axes.
    """

    name: str
    unit: str = "1"
    description: str = ""
    channels: Annotated[int, Bounds(at_least=1.0)] = 1
    time_varying: bool = False


@dataclasses.dataclass(frozen=True)
class SplitInfo:
    """One split: its number of samples, its grid, and the times of its time-varying fields (in `time_unit`)."""

    num_samples: int
    grid: Grid
    times: tuple[float, ...] = ()
    time_unit: str = "1"


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """A dataset: fields, splits, physical parameters, license, citation and source. JSON both ways.

    `generation` says how computed data can be computed again: a JSON text, empty for data from elsewhere.
    """

    name: str
    title: str
    fields: tuple[FieldInfo, ...]
    splits: dict[str, SplitInfo]
    parameters: dict[str, float] = dataclasses.field(default_factory=dict)
    license: str = ""
    citation: str = ""
    source: str = ""
    generation: str = ""

    def field(self, name: str) -> FieldInfo:
        """The field called `name`; `KeyError` if there is none."""
        return {f.name: f for f in self.fields}[name]

    def to_json(self) -> dict[str, Any]:
        """A dictionary of JSON types from which `from_json` makes an equal `DatasetInfo`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "DatasetInfo":
        """The dataset that `to_json` described."""
        splits = {
            name: SplitInfo(**{**s, "grid": Grid.from_json(s["grid"]), "times": tuple(s.get("times", ()))})
            for name, s in data["splits"].items()
        }
        return cls(**{**data, "fields": tuple(FieldInfo(**f) for f in data["fields"]), "splits": splits})
