"""A loss of predicted trajectories with what their solver thought of the right-hand side."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from neuralop_jax import losses
from neuralop_jax.data import Sample
from neuralop_jax.errors import ConfigError
from neuralop_jax.models import ContinuousTime, Normalized
from neuralop_jax.training._step import Loss


def penalized(compare: Callable[[Array, Array], Float[Array, ""]], penalty: str, weight: float) -> Loss:
    r"""The losses of predictions by a `ContinuousTime` operator, plus $\lambda R$ with a penalty $R$ on what it costs to solve.

    Samples that are computed together, a micro-batch, are solved together and have the same $R$. It needs steps chosen by the
    error.

    **Arguments:**

    - `compare`: of one sample, in the units of the data, for instance `losses.relative_l2`.
    - `penalty`: what $R$ is: `"error"` or `"stiffness"`, summed over the solve (`losses.global_penalties`), or `"local_error"` or
        `"local_stiffness"`, at one random time (`losses.local_penalties`), which costs nearly nothing.
    - `weight`: $\lambda$.

    **Source:** Pal et al. 2021, arXiv:2105.03918; Pal, Edelman, Rackauckas 2023, arXiv:2303.02262.
    """
    name, local = penalty.removeprefix("local_"), penalty.startswith("local_")

    def loss(operator: Normalized, batch: Sample, keys: Key[Array, " batch"]) -> Float[Array, " batch"]:
        model = operator.model
        assert isinstance(model, ContinuousTime)
        u = jnp.moveaxis(jax.vmap(operator.input.normalize)(jnp.asarray(batch.inputs["u"])), 0, 1)
        layer, z0, ts = model.layer(batched=True), model.start(u), model.solve_times(u.dtype)
        if local:
            solution, penalties = losses.local_penalties(layer, z0, ts, key=keys[0])
        else:
            solution, penalties = losses.global_penalties(layer, z0, ts)
        outputs = jnp.moveaxis(model.returned(solution).values, 2, 0).reshape(len(keys), model.out_channels, *u.shape[2:])
        predicted = jax.vmap(operator.output.denormalize)(outputs)
        return jax.vmap(compare)(predicted, jnp.asarray(batch.target)) + weight * getattr(penalties, name)

    return loss


def check_penalty(operator: Normalized, penalty: str) -> None:
    """Raises `ConfigError` unless the operator is solved with steps that such a penalty can measure."""
    model = operator.model
    if not isinstance(model, ContinuousTime):
        raise ConfigError(f"loss.penalty {penalty!r} is for model.kind 'continuous_time', got {type(model).__name__}. Drop it.")
    if model.time_step is not None:
        raise ConfigError(f"loss.penalty {penalty!r} needs steps chosen by the error. Leave model.time_step out.")
    if model.num_parameters:
        raise ConfigError(f"loss.penalty {penalty!r} is not for operators that read parameters p. Leave it out.")
    if "stiffness" in penalty and model.solver not in ("tsit5", "dopri5"):
        raise ConfigError(f"loss.penalty {penalty!r} needs model.solver 'tsit5' or 'dopri5', got {model.solver!r}.")
    if model.adjoint == "backsolve" and not penalty.startswith("local_"):
        raise ConfigError(f"loss.penalty {penalty!r} has no gradient under model.adjoint 'backsolve'. Use 'local_{penalty}'.")
