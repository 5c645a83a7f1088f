"""Optax chains and learning rates from the configuration."""

import optax
from jaxtyping import Array, Float

from neuralop_jax.config import OptimizerConfig


def make_schedule(config: OptimizerConfig, steps: int, *, learning_rate: Float[Array, ""] | None = None) -> optax.Schedule:
    r"""The learning rate as a function of the step, from 0 to `steps`; $\eta$ is `learning_rate`, $w$ is `warmup_steps`.

    - `"constant"`: $\eta$.
    - `"cosine"`: $\frac{\eta}{2} \left(1 + \cos \pi \frac{s - w}{S - w}\right)$, down to 0.
    - `"step"`: $\eta r^{\lfloor (s - w)/D \rfloor}$ with $r$ = `decay_rate`, $D$ = `decay_steps`.
    - `"one_cycle"`: from $\eta/25$ up to $\eta$ in the first 30 % of the steps and down to $\eta/250000$, along half cosines.

    All but the last start with $\eta s / w$ while $s < w$. A `learning_rate` takes the place of the configuration's, and may be
    traced.

    **Source:** Loshchilov, Hutter 2017, arXiv:1608.03983 (cosine, without restarts); Smith, Topin 2018, arXiv:1708.07120
    (one cycle, with the numbers of PyTorch's `OneCycleLR`).

    !!! example

        ```python
        from neuralop_jax.config import OptimizerConfig
        from neuralop_jax.training import make_schedule

        schedule = make_schedule(OptimizerConfig(learning_rate=1e-3, schedule="cosine"), steps=100)
        assert abs(schedule(50) - 5e-4) < 1e-9
        ```
    """
    rate = config.learning_rate if learning_rate is None else learning_rate
    left = steps - config.warmup_steps
    match config.schedule:
        case "one_cycle":
            return optax.cosine_onecycle_schedule(steps, rate, pct_start=0.3, div_factor=25.0, final_div_factor=1e4)
        case "cosine":
            schedule = optax.cosine_decay_schedule(rate, left)
        case "step":
            schedule = optax.exponential_decay(rate, config.decay_steps, config.decay_rate, staircase=True)
        case _:
            schedule = optax.constant_schedule(rate)
    if not config.warmup_steps:
        return schedule
    return optax.join_schedules([optax.linear_schedule(0.0, rate, config.warmup_steps), schedule], [config.warmup_steps])


def make_optimizer(
    config: OptimizerConfig,
    steps: int,
    *,
    learning_rate: Float[Array, ""] | None = None,
    weight_decay: Float[Array, ""] | None = None,
) -> optax.GradientTransformation:
    """The Optax chain of a configuration: clipping by the global norm, weight decay, the rule, the learning rate.

    Weight decay is decoupled for `"adamw"` and `"lion"`; for `"adam"` and `"sgd"` it is added to the gradient before the rule, as
    in the scripts of the first FNO. All trainable leaves decay.

    **Arguments:**

    - `config`: the section `[optimizer]`; `accumulate` is not its part: the batches of a step are joined before.
    - `steps`: the length of the training, which the schedules need.
    - `learning_rate`, `weight_decay`: in place of those of the configuration. They may be traced, so that one program serves many
        values; the state is the same.

    **Returns:** a transformation to pass to `make_step` and `TrainState.create`.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.config import OptimizerConfig
        from neuralop_jax.training import make_optimizer

        optimizer = make_optimizer(OptimizerConfig(kind="sgd", learning_rate=0.5, weight_decay=0.0, schedule="constant"), 10)
        updates, _ = optimizer.update(jnp.ones(2), optimizer.init(jnp.ones(2)), jnp.ones(2))
        assert updates.tolist() == [-0.5, -0.5]
        ```
    """
    schedule = make_schedule(config, steps, learning_rate=learning_rate)
    decay = config.weight_decay if weight_decay is None else weight_decay
    match config.kind:
        case "adamw":
            rule = optax.adamw(schedule, weight_decay=decay)
        case "lion":
            rule = optax.lion(schedule, weight_decay=decay)
        case "adam":
            rule = optax.chain(optax.add_decayed_weights(decay), optax.adam(schedule))
        case "sgd":
            rule = optax.chain(optax.add_decayed_weights(decay), optax.sgd(schedule))
    return optax.chain(optax.clip_by_global_norm(config.clip), rule) if config.clip else rule
