"""A loss of predictions with what their solver thought of the function that it was given."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from neuralop_jax import losses
from neuralop_jax._typing import PRNGKey
from neuralop_jax.data import Sample
from neuralop_jax.errors import ConfigError
from neuralop_jax.layers import jacobian_norm
from neuralop_jax.models import AbstractOperator, ContinuousTime, ImplicitFNO, Normalized
from neuralop_jax.training._step import Loss


def penalized(compare: Callable[[Array, Array], Float[Array, ""]], penalty: str, weight: float) -> Loss:
    r"""The losses of predictions by a `ContinuousTime` or `ImplicitFNO` operator, plus $\lambda R$ with a penalty $R$ on what it
    costs to solve.

    Samples that are computed together, a micro-batch, have the same $R$. Of a `ContinuousTime` operator they are solved together;
    it needs steps chosen by the error.

    **Arguments:**

    - `compare`: of one sample, in the units of the data, for instance `losses.relative_l2`.
    - `penalty`: what $R$ is: `"error"` or `"stiffness"`, summed over the solve (`losses.global_penalties`), or `"local_error"` or
        `"local_stiffness"`, at one random time (`losses.local_penalties`), which costs nearly nothing. `"jacobian"`: an estimate
        of $\|J\|_F^2$ over the number of unknowns, $J$ being the derivative of the map at the equilibrium
        (`layers.jacobian_norm`), with the gradient of the equilibrium, too.
    - `weight`: $\lambda$.

    **Source:** Pal et al. 2021, arXiv:2105.03918; Pal, Edelman, Rackauckas 2023, arXiv:2303.02262; Bai, Koltun, Kolter 2021,
    arXiv:2106.14342.

    !!! example

        ```python
        import optax
        from neuralop_jax.losses import relative_l2
        from neuralop_jax.training import make_step, penalized

        step = make_step(penalized(relative_l2, "local_error", 0.01), optax.adam(1e-3))  # of a ContinuousTime operator
        ```
    """
    measured = _equilibrium if penalty == "jacobian" else functools.partial(_trajectory, penalty)

    def loss(operator: Normalized, batch: Sample, keys: Key[Array, " batch"]) -> Float[Array, " batch"]:
        u = jnp.moveaxis(jax.vmap(operator.input.normalize)(jnp.asarray(batch.inputs["u"])), 0, 1)
        outputs, penalty = measured(operator.model, u, keys[0])
        predicted = jax.vmap(operator.output.denormalize)(jnp.moveaxis(outputs, 1, 0))
        return jax.vmap(compare)(predicted, jnp.asarray(batch.target)) + weight * penalty

    return loss


def _trajectory(penalty: str, model: AbstractOperator, u: Array, key: PRNGKey) -> tuple[Array, Array]:
    """The states at all times as channels, `(channels, batch, *space)`, and what their solve is said to cost."""
    assert isinstance(model, ContinuousTime)
    layer, z0, ts = model.layer(batched=True), model.start(u), model.solve_times(u.dtype)
    local = penalty.startswith("local_")
    solve = functools.partial(losses.local_penalties, key=key) if local else losses.global_penalties
    solution, penalties = solve(layer, z0, ts)
    outputs = model.returned(solution).values.reshape(model.out_channels, *u.shape[1:])
    return outputs, getattr(penalties, penalty.removeprefix("local_"))


def _equilibrium(model: AbstractOperator, u: Array, key: PRNGKey) -> tuple[Array, Array]:
    """The outputs, and how much the map whose equilibria they come from magnifies random changes, in the mean of squares."""
    assert isinstance(model, ImplicitFNO)
    outputs, solution = model.solve(u, key=key)
    z = solution.value
    return outputs, jacobian_norm(model.step, z, model.inject(u), key=key) / z.size


def check_penalty(operator: Normalized, penalty: str) -> None:
    """Raises `ConfigError` unless the operator is solved in a way that such a penalty can measure."""
    model = operator.model
    if penalty == "jacobian":
        if not isinstance(model, ImplicitFNO):
            raise ConfigError(f"loss.penalty 'jacobian' is for model.kind 'implicit_fno', got {type(model).__name__}. Drop it.")
        return
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
