"""What the generators of labeled time series share: irregular times, noise, missing values, and a class at every time."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from neuralop_jax._typing import PRNGKey
from neuralop_jax.grids import Grid
from neuralop_jax.info import FieldInfo


def series_fields(num_classes: int, names: str) -> tuple[FieldInfo, ...]:
    """The fields of a labeled series of positions in the plane; `names` says which class is which."""
    return (
        FieldInfo("time", description="time of the observation"),
        FieldInfo("position", description="position in the plane, 0 where it is missing", channels=2),
        FieldInfo("observed", description="1 where a coordinate is observed, 0 where it is missing", channels=2),
        FieldInfo("class", description=f"1 for the class of the series, 0 for the others: {names}", channels=num_classes),
    )


def series_grid(resolution: int) -> Grid:
    """The observations by their number: their times are a field, as every series has its own."""
    return Grid((resolution,), ((0.0, float(resolution - 1)),), ("open",), names=("observation",))


def observed_series(
    curve: Callable[[Float[Array, " times"]], Float[Array, "2 times"]],
    label: Int[Array, ""],
    num_classes: int,
    number: int,
    *,
    missing: float,
    noise: float,
    key: PRNGKey,
) -> dict[str, Array]:
    r"""The fields of a series: a curve on $[0, 1]$ observed at irregular times, with noise, and with missing coordinates.

    **Arguments:**

    - `curve`: positions at times.
    - `label`, `num_classes`: the class, and how many there are.
    - `number`: observations. Their gaps are $\tfrac1{10} + E$ with exponential $E$, scaled so that the last time is 1.
    - `missing`: the probability that a coordinate is missing; those of the first observation never are.
    - `noise`: standard deviation of the noise of each coordinate.
    - `key`: randomness.
    """
    gap_key, noise_key, missing_key = jax.random.split(key, 3)
    elapsed = jnp.cumsum(0.1 + jax.random.exponential(gap_key, (number - 1,)))
    times = jnp.concatenate([jnp.zeros(1), elapsed / elapsed[-1]])
    position = curve(times) + noise * jax.random.normal(noise_key, (2, number))
    observed = (jax.random.uniform(missing_key, (2, number)) >= missing) | (jnp.arange(number) == 0)[None]
    return {
        "time": times[None],
        "position": jnp.where(observed, position, 0.0),
        "observed": observed.astype(times.dtype),
        "class": jnp.broadcast_to(jax.nn.one_hot(label, num_classes, dtype=times.dtype)[:, None], (num_classes, number)),
    }
