"""Arrays that belong to a layer but are not trained."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Inexact


class Buffer(eqx.Module):
    """An array that a module keeps and an optimizer leaves alone: `models.trainable` is false on it.

    It is copied, converted and saved with the module like a weight. `jax.lax.stop_gradient` would not be enough: weight decay
    moves what has no gradient.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        from neuralop_jax.layers import Buffer
        from neuralop_jax.models import trainable

        assert jax.tree.leaves(trainable({"weight": jnp.ones(2), "mean": Buffer(jnp.ones(2))})) == [False, True]
        ```
    """

    value: Inexact[Array, "..."] = eqx.field(converter=jnp.asarray)
