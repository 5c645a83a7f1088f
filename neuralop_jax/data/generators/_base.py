"""What a generator says of the data it makes, and how one sample is computed."""

import abc
import dataclasses
import math
import typing

import equinox as eqx
from jaxtyping import Array, Int

from neuralop_jax._config_values import check_value
from neuralop_jax._typing import PRNGKey
from neuralop_jax.grids import Grid
from neuralop_jax.info import FieldInfo

POINTS_AT_ONCE = 2**16


class AbstractGenerator(eqx.Module):
    """A kind of dataset: its fields, and the simulation of one sample from a random key.

    The arguments of the constructor are the options: numbers, strings, booleans and lists of them, every one with a default and
    a documentation string of its own, which the command line shows. They are checked by their annotations, `Bounds` included.
    Whatever else a sample depends on comes from its key and the resolution. `simulate` is compiled and mapped over samples.
    """

    title: eqx.AbstractClassVar[str]
    citation: eqx.AbstractClassVar[str]
    default_resolution: eqx.AbstractClassVar[int]

    def __check_init__(self):
        hints = typing.get_type_hints(type(self), include_extras=True)
        for field in dataclasses.fields(self):
            checked = check_value(hints[field.name], getattr(self, field.name), field.name)
            object.__setattr__(self, field.name, checked)

    @property
    @abc.abstractmethod
    def fields(self) -> tuple[FieldInfo, ...]:
        """The fields of a sample, in the order in which they are stored."""

    @property
    @abc.abstractmethod
    def parameters(self) -> dict[str, float]:
        """The physical parameters that all samples share, by name."""

    @property
    def times(self) -> tuple[float, ...]:
        """The times of the time-varying fields; none by default."""
        return ()

    @abc.abstractmethod
    def grid(self, resolution: int) -> Grid:
        """The grid on which samples are stored.

        **Arguments:**

        - `resolution`: points per axis.

        **Raises:** `ConfigError` for a resolution that the generator cannot use.
        """

    @abc.abstractmethod
    def simulate(self, resolution: int, *, key: PRNGKey) -> tuple[dict[str, Array], Int[Array, ""]]:
        """One sample, in the default floating type of JAX.

        **Arguments:**

        - `resolution`: as in `grid`.
        - `key`: which sample; the same key means the same functions at every resolution.

        **Returns:** for each of `fields` an array `(channels, *space)`, or `(time, channels, *space)` if it is time-varying; and
        a result code, 0 for success. A sample with another code, or with values that are not finite, counts as failed.
        """

    def retry(self, attempt: int) -> "AbstractGenerator | None":
        """The generator with which a failed sample is computed again, for instance with half the time step; `None` gives it up.

        **Arguments:**

        - `attempt`: 1 after the first failure, 2 after the next, and so on.
        """
        return None

    def batch_size(self, resolution: int) -> int:
        """How many samples are computed at once unless the caller says so: 65,536 points, which a cache holds, at most 64."""
        return max(1, min(64, POINTS_AT_ONCE // math.prod(self.grid(resolution).shape)))
