"""One optimizer step as a pure function: state, batch and key in, state and metrics out."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key, PyTree

from neuralop_jax import models
from neuralop_jax._typing import PRNGKey
from neuralop_jax.data import Drawn, Sample
from neuralop_jax.models._batched import largest_divisor
from neuralop_jax.training._guard import GuardRule
from neuralop_jax.training._mesh import DeviceMesh
from neuralop_jax.training._mesh_gradient import over_mesh, same_in_space
from neuralop_jax.training._precision import in_precision
from neuralop_jax.training._rematerialized import rematerialize
from neuralop_jax.training._state import TrainState

Loss = Callable[[Any, Sample, Key[Array, " batch"]], Float[Array, " batch"]]
"""`loss(model, batch, keys)`: the loss of every sample of a batch, with one key each."""
Metrics = dict[str, Array]
Step = Callable[[TrainState, Sample | Drawn, PRNGKey], tuple[TrainState, Metrics]]


def make_step(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    *,
    ema: float = 0.0,
    micro_batch: int = 0,
    accumulate: int = 1,
    augment: Callable[..., tuple[Array, Array]] | None = None,
    guard: GuardRule = GuardRule(),  # noqa: B008  it is frozen
    mesh: DeviceMesh | None = None,
    precision: DTypeLike | None = None,
    rematerialized: bool = False,
) -> Step:
    r"""A pure function `step(state, batch, key) -> (state, metrics)` that makes one optimizer step on the mean loss of a batch.

    The gradient is $\frac1B \sum_b \nabla \ell(\theta; u_b, v_b)$, whatever the size of the micro-batches. If the loss or the
    norm of the gradient is not finite, the state comes back unchanged and `metrics["finite"]` is false; `guard` can have such
    steps skipped, and also those with a gradient of unusual size.

    **Arguments:**

    - `loss`: `loss(model, batch, keys)`, the losses of the samples of a batch. `supervised` makes one of a comparison with the
        target, `each_sample` of a loss of one sample.
    - `optimizer`: any Optax transformation; `make_optimizer` makes one from a configuration.
    - `ema`: decay $d$ of the averaged weights $\sum_i d^{t-i} \theta_i / \sum_i d^{t-i}$ over the steps $1 \le i \le t$: no
        bias toward the initial weights, from the first step on. 0 keeps none.
    - `micro_batch`: samples whose activations are held at once: the largest divisor of the batch up to this number is taken, one
        portion after the other. 0 takes the whole batch. *Good values*: `models.automatic_micro_batch`. A layer that takes
        statistics over the axis `"batch"` sees one micro-batch.
    - `accumulate`: with more than one, a batch has an axis more in front, over so many batches that are computed one after the
        other and make one step. A `data.Drawn` batch is read portion by portion, and never held as a whole.
    - `augment`: `augment(u, target, key=key)` on one sample, such as `data.transpose`.
    - `guard`: which steps are skipped; then only `state.step` and `state.guard` change.
    - `mesh`: the devices that share the batch, a part of it each; the result is that of one device. Micro-batches are then those
        of a device, and what is drawn once for all samples of a micro-batch, as dropout is, is drawn once on each.
    - `precision`: the type of activations and of the copy of the weights that they are computed with, see `in_precision`; the
        weights, the optimizer, averages and the loss keep theirs. *Good values*: `jax.numpy.bfloat16` on GPU and TPU.
    - `rematerialized`: keeps the inputs of the blocks of a model alone and computes the rest again for the gradient, which is
        the same: a third more work for a fraction of the memory (see `rematerialize`).

    **Returns:** the step. Its metrics are `loss`, `gradient_norm` (before clipping), `finite`, `made` and `skipped`; a step that
    is neither made nor skipped has left the state as it was.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        import optax

        from neuralop_jax.data import Sample
        from neuralop_jax.models import FNO
        from neuralop_jax.training import TrainState, make_step, supervised

        model = FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=1, key=jax.random.key(0))
        step = make_step(supervised(lambda v, target: jnp.mean((v - target) ** 2)), optax.adam(1e-3))
        batch = Sample({"u": jnp.ones((2, 1, 8))}, jnp.zeros((2, 1, 8)))
        state, metrics = jax.jit(step)(TrainState.create(model, optax.adam(1e-3)), batch, jax.random.key(1))
        assert state.step == 1 and metrics["finite"]
        ```
    """

    def mean_loss(weights: PyTree, rest: PyTree, batch: Sample, keys: Key[Array, " batch"]) -> Float[Array, ""]:
        if augment is not None:
            batch, keys = _augmented(augment, batch, keys)
        model = eqx.combine(weights, rest)
        model = rematerialize(model) if rematerialized else model
        return jnp.mean(loss(model if precision is None else in_precision(model, precision), batch, keys))

    def mean_gradient(
        weights: PyTree,
        rest: PyTree,
        batch: Sample | Drawn,
        keys: Array,
        whole: Callable[[PyTree], PyTree] = lambda weights: weights,
    ) -> tuple[Float[Array, ""], PyTree]:
        rows, read = (batch.indices, batch.data.take) if isinstance(batch, Drawn) else (batch, lambda sample: sample)

        def of_portion(rows: PyTree, keys: Array) -> tuple[Float[Array, ""], PyTree]:
            value, grads = jax.value_and_grad(lambda w: mean_loss(whole(w), rest, read(rows), keys))(weights)
            return same_in_space(value), grads

        return _mean_over_portions(of_portion, weights, rows, keys, micro_batch)

    gradient = mean_gradient if mesh is None else over_mesh(mesh, mean_gradient)

    def step(state: TrainState, batch: Sample | Drawn, key: PRNGKey) -> tuple[TrainState, Metrics]:
        weights, rest = eqx.partition(state.model, models.trainable(state.model))
        sizes = batch.indices.shape if isinstance(batch, Drawn) else batch.target.shape[: 1 if accumulate == 1 else 2]
        value, grads = gradient(weights, rest, batch, jax.random.split(key, sizes))
        norm = optax.global_norm(grads)
        made, skipped, memory = guard.judge(state.guard, state.step, value, norm)

        updates, opt_state = optimizer.update(grads, state.opt_state, weights)
        weights = eqx.apply_updates(weights, updates)
        average = _average(state.ema, weights, ema, state.step - state.guard.skipped + 1) if ema else state.ema
        new = TrainState(eqx.combine(weights, rest), opt_state, average, state.step + 1, memory)
        kept = dataclasses.replace(state, step=state.step + skipped.astype(jnp.int32), guard=memory)
        new = _choose(made, new, kept)
        finite = jnp.isfinite(value) & jnp.isfinite(norm)
        metrics = {"loss": value, "gradient_norm": norm, "finite": finite, "made": made, "skipped": skipped}
        return new if mesh is None else mesh.constrain(new), metrics

    return step


def _augmented(augment: Callable[..., tuple[Array, Array]], batch: Sample, keys: Array) -> tuple[Sample, Array]:
    """The batch with every sample augmented by a key of its own, and the keys that are left."""
    drawn, keys = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
    u, target = jax.vmap(lambda u, target, key: augment(u, target, key=key))(batch.inputs["u"], batch.target, drawn)
    return Sample({**batch.inputs, "u": u}, target), keys


def supervised(compare: Callable[[Array, Array], Float[Array, ""]]) -> Loss:
    """The losses of predictions: `compare(prediction, target)`, both `(channels, *space)` in the units of the model.

    **Arguments:**

    - `compare`: of one sample, for instance `losses.relative_l2`.

    **Returns:** a loss for operators; all samples of a batch are predicted together by `AbstractOperator.batched`.
    """
    return lambda model, batch, keys: jax.vmap(compare)(model.batched(**batch.inputs, key=keys), jnp.asarray(batch.target))


def each_sample(loss: Callable[[Any, Sample, PRNGKey], Float[Array, ""]]) -> Loss:
    """The losses of a batch by `loss(model, sample, key)` on one sample, mapped over the batch as the axis `"batch"`.

    For losses that need more than a prediction and its target, such as the residual of an equation, and for models of any kind.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        from neuralop_jax.data import Sample
        from neuralop_jax.training import each_sample

        loss = each_sample(lambda model, sample, key: jnp.mean(model(sample.inputs["u"]) ** 2))
        batch = Sample({"u": jnp.ones((3, 1, 8))}, jnp.zeros((3, 1, 8)))
        assert loss(lambda u: 2 * u, batch, jax.random.split(jax.random.key(0), 3)).tolist() == [4.0, 4.0, 4.0]
        ```
    """
    return lambda model, batch, keys: jax.vmap(lambda s, k: loss(model, s, k), axis_name="batch")(batch, keys)


def _mean_over_portions(
    gradient: Callable[[PyTree, Array], tuple[Array, PyTree]], weights: PyTree, rows: PyTree, keys: Array, micro_batch: int
) -> tuple[Array, PyTree]:
    """The mean of a value and of its gradient by `weights` over the equal portions of one or several batches, one by one."""
    *several, size = keys.shape
    portion = largest_divisor(size, micro_batch) if micro_batch else size
    count = math.prod(several) * size // portion
    if keys.shape == (portion,):
        return gradient(rows, keys)
    portions = jax.tree.map(lambda x: x.reshape(count, portion, *x.shape[keys.ndim :]), (rows, keys))
    zero = jax.tree.map(lambda w: jnp.where(False, w, jnp.zeros_like(w)), weights)  # differing between devices as `w` does

    def add(total: PyTree, piece: tuple[PyTree, Array]) -> tuple[PyTree, Array]:
        value, grads = gradient(*piece)
        return jax.tree.map(jnp.add, total, grads), value

    total, values = jax.lax.scan(add, zero, portions)
    return jnp.mean(values), jax.tree.map(lambda x: x / count, total)


def _average(old: PyTree, new: PyTree, decay: float, step: Array) -> PyTree:
    """The weighted mean of all weights so far, brought forward by one step: the newest has the part (1 - d) / (1 - d^t)."""
    part = (1 - decay) / -jnp.expm1(step * jnp.log(decay))
    return jax.tree.map(lambda a, b: a + part.astype(a.dtype) * (b - a), old, new)


def _choose(condition: Array, new: PyTree, old: PyTree) -> PyTree:
    """`new` where the condition holds, else `old`, leaf by leaf; what is not an array is the same in both."""
    arrays, rest = eqx.partition(new, eqx.is_array)
    return eqx.combine(jax.tree.map(lambda a, b: jnp.where(condition, a, b), arrays, eqx.filter(old, eqx.is_array)), rest)
