"""Which fields, at which times, are the input and the target of a sample, and how they become its channels."""

import dataclasses
import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neuralop_jax._frames import frames
from neuralop_jax.data._sample import Sample
from neuralop_jax.errors import ConfigError
from neuralop_jax.info import DatasetInfo


@dataclasses.dataclass(frozen=True)
class Pairing:
    """The choice of fields and frames of a dataset.

    **Arguments:**

    - `input`, `target`: names of fields, or one name.
    - `input_time`, `target_time`: the frames of time-varying fields, `"all"`, `"first"`, `"last"` or a range `"2::2"`.

    **Raises:** `ConfigError` if no field is named, or the frames are unknown.
    """

    input: tuple[str, ...]
    target: tuple[str, ...]
    input_time: str
    target_time: str

    def __init__(self, input: str | Sequence[str], target: str | Sequence[str], input_time: str, target_time: str):
        frames(input_time, name="input_time")
        frames(target_time, name="target_time")
        set_ = lambda name, value: object.__setattr__(self, name, value)  # frozen
        set_("input", (input,) if isinstance(input, str) else tuple(input))
        set_("target", (target,) if isinstance(target, str) else tuple(target))
        set_("input_time", input_time)
        set_("target_time", target_time)
        if not self.input or not self.target:
            raise ConfigError("data.input and data.target must each name at least one field.")

    @property
    def names(self) -> tuple[str, ...]:
        """Every chosen field once."""
        return tuple(dict.fromkeys((*self.input, *self.target)))

    def target_times(self, info: DatasetInfo, split: str) -> tuple[float, ...]:
        """The times of the target's frames, counted from the last frame of the input; empty if one of both has no frames."""
        known = info.splits[split].times
        varies = lambda names: any(info.field(name).time_varying for name in names)
        if not (varies(self.input) and varies(self.target)):
            return ()
        return tuple(t - known[frames(self.input_time)][-1] for t in known[frames(self.target_time)])

    def batch(self, fields: Mapping[str, np.ndarray], time_varying: Mapping[str, bool], shape: Sequence[int]) -> Sample:
        """Inputs and targets `(samples, channels, *shape)` of `fields`, each `(samples, [time], [channels], *shape)`."""

        channels = lambda name, time: _channels(fields[name], frames(time) if time_varying[name] else None, shape)
        stack = lambda names, time: _joined([channels(name, time) for name in names])
        return Sample({"u": stack(self.input, self.input_time)}, stack(self.target, self.target_time))


def _channels(values: np.ndarray, taken: slice | None, shape: Sequence[int]) -> np.ndarray:
    """A field `(samples, [time], [channels], *shape)` as `(samples, channels, *shape)`, with the frames that are taken."""
    values = values if taken is None else values[:, taken]
    return values.reshape(len(values), math.prod(values.shape[1 : values.ndim - len(shape)]), *shape)


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """The parts beside each other along the channels; one alone is not copied."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def row_of(index: Any, length: int) -> int:
    """`index` as a number from 0 to `length - 1`, counted from the end if negative; `IndexError` outside."""
    index = operator.index(index)
    if not -length <= index < length:
        raise IndexError(f"sample {index} of a split of {length} samples")
    return index % length


def only(batch: Sample) -> Sample:
    """The sample of a batch of one."""
    return Sample({name: values[0] for name, values in batch.inputs.items()}, batch.target[0])
