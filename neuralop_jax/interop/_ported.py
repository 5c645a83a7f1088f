"""What all networks that were trained with other code have in common."""

import abc

import equinox as eqx


class AbstractPorted(eqx.Module):
    """A network of other code: called, it is the original to its last rule; `model` is the operator of this library inside.

    `from_torch` makes it. Made by hand around an operator that was trained here, it takes and returns the arrays of the original,
    and can stand in its place in the scripts of its authors.
    """

    model: eqx.AbstractVar[eqx.Module]

    @property
    @abc.abstractmethod
    def difference(self) -> str:
        """Where `model` is another function than the original, in one sentence without a period; empty if nowhere."""


def batch_statistics(train_mode: bool) -> str:
    """The difference that batch norms in training make to those in use."""
    if not train_mode:
        return ""
    return "with train_mode the original's norms take the statistics of the batch, those of .model the stored ones"
