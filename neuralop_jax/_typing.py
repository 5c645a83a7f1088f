"""The shapes that recur in signatures, as jaxtyping annotations."""

from jaxtyping import Array, Float, Inexact, Key, Num

Field = Num[Array, "channels *space"]
"""One sample on a grid: channels first, one to four space axes, real or complex; models refuse integers in their own words."""

OutputField = Inexact[Array, "out_channels *out_space"]
"""What an operator returns for a `Field`: its own channels, usually on the same grid."""

Fields = Num[Array, "batch channels *space"]
"""Samples on one grid."""

OutputFields = Inexact[Array, "batch out_channels *out_space"]
"""What an operator returns for `Fields`."""

RealField = Float[Array, "channels *space"]
"""One real sample on a grid."""

Points = Float[Array, "points dimensions"]
"""Coordinates of scattered points."""

QueryPoints = Float[Array, "queries dimensions"]
"""Coordinates of the points where an output is wanted, as many as one likes."""

Params = Float[Array, " parameters"]
"""A vector of scalar parameters of one sample (viscosity, time, ...)."""

Trajectory = Inexact[Array, "time channels *space"]
"""One field at successive times."""

PRNGKey = Key[Array, ""]
"""A typed random key, as `jax.random.key` makes it."""
