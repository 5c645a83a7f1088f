"""Batch norms of a network in training, calibrated on batches of its training split before anything is evaluated or saved."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from neuralop_jax import models
from neuralop_jax._typing import PRNGKey
from neuralop_jax.data import HDF5Dataset
from neuralop_jax.training._state import TrainState

_BATCHES = 20  # what a running mean of momentum 0.1 remembers


@dataclasses.dataclass(frozen=True)
class Calibration:
    """`calibration(state)` is the state with the population statistics of batch norms measured for the weights to be evaluated.

    The batches are the same in every call: a function of the key and of the split. A model without batch norm costs nothing.

    **Arguments:**

    - `train`: the training split.
    - `batch_size`: samples per batch, as in training.
    - `key`: draws the samples and their augmentation.
    - `augment`: as in `make_step`.
    """

    train: HDF5Dataset
    batch_size: int
    key: PRNGKey
    augment: Callable[..., tuple[Array, Array]] | None = None

    def __call__(self, state: TrainState) -> TrainState:
        """The state before its next step, or as it is to be evaluated or saved; training is the same with or without."""
        if not models.has_batch_norm(state.model):
            return state
        trained = models.trainable(state.model)
        calibrated = models.calibrate(state.operator(), self._batches())
        model = eqx.combine(eqx.filter(state.model, trained), eqx.filter(calibrated, trained, inverse=True))
        return dataclasses.replace(state, model=model)

    def _batches(self) -> Iterator[Array]:
        order = np.asarray(jax.random.permutation(self.key, len(self.train)))
        whole = min(len(order) // self.batch_size, _BATCHES)
        for number, indices in enumerate(order[: whole * self.batch_size].reshape(whole, -1)):
            samples = [self.train[int(index)] for index in indices]
            u, target = (
                jnp.asarray(np.stack(fields)) for fields in zip(*((s.inputs["u"], s.target) for s in samples), strict=True)
            )
            yield u if self.augment is None else self._augmented(self.augment, u, target, number)

    def _augmented(self, augment: Callable[..., Any], u: Array, target: Array, number: int) -> Array:
        keys = jax.random.split(jax.random.fold_in(self.key, number), len(u))
        return jax.vmap(lambda u, target, key: augment(u, target, key=key)[0])(u, target, keys)
