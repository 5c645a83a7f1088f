"""Training losses: of one sample, of its patches, and of whole rollouts."""

from neuralop_jax.losses._patches import per_patch as per_patch
from neuralop_jax.losses._push_forward import curriculum as curriculum, push_forward_loss as push_forward_loss
from neuralop_jax.losses._rollout import rollout_loss as rollout_loss, trajectory_loss as trajectory_loss
from neuralop_jax.losses._solver_regularization import (
    SolverPenalties as SolverPenalties,
    global_penalties as global_penalties,
    local_penalties as local_penalties,
)
from neuralop_jax.losses._supervised import (
    LOSSES as LOSSES,
    cross_entropy as cross_entropy,
    difference_h1 as difference_h1,
    mse as mse,
    relative_h1 as relative_h1,
    relative_l2 as relative_l2,
    truncated_h1 as truncated_h1,
)
