"""Arrays that belong to a model but that training leaves as they are."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class Fixed(eqx.Module):
    """An array that is saved with the weights and never trained, such as random features: `models.trainable` leaves it out.

    **Arguments:**

    - `value`: the array.
    """

    value: Float[Array, "..."] = eqx.field(converter=jnp.asarray)
