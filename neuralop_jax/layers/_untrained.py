"""Arrays that belong to a model but are not learned by gradient descent."""

import equinox as eqx


class Untrained(eqx.Module):
    """Marks a module whose arrays travel with the model, in checkpoints too, while `models.trainable` leaves them out.

    Derive from it and name the arrays as fields: modes of the training outputs, running statistics, tables.
    """
