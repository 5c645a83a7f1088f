"""Training losses: of one sample, of a batch, and of whole rollouts."""

from neuralop_jax.losses._push_forward import curriculum as curriculum, push_forward_loss as push_forward_loss
from neuralop_jax.losses._rollout import rollout_loss as rollout_loss, trajectory_loss as trajectory_loss
from neuralop_jax.losses._supervised import (
    LOSSES as LOSSES,
    mse as mse,
    relative_h1 as relative_h1,
    relative_l2 as relative_l2,
)
