"""Arrays that belong to a model but are not learned by gradient descent."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Inexact


class Untrained(eqx.Module):
    """Marks a module whose arrays travel with the model, in checkpoints too, while `models.trainable` is false on them.

    Derive from it and name the arrays as fields: modes of the training outputs, running statistics, tables.
    `jax.lax.stop_gradient` would not be enough: weight decay moves what has no gradient.

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from neuralop_jax.layers import Untrained
        from neuralop_jax.models import trainable

        class Mean(Untrained):
            value: jax.Array

        assert trainable({"mean": Mean(jnp.ones(3)), "weight": jnp.ones(3)})["weight"]
        assert not any(jax.tree.leaves(trainable(Mean(jnp.ones(3)))))
        ```
    """


class Buffer(Untrained):
    """One array that is not trained.

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
