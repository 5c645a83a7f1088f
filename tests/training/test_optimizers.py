import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.config import OptimizerConfig
from neuralop_jax.training import make_optimizer, make_schedule

RATE = 3e-3


def rates(steps, **options):
    schedule = make_schedule(OptimizerConfig(learning_rate=RATE, **options), steps)
    return np.array([float(schedule(step)) for step in range(steps)])


def test_constant():
    np.testing.assert_allclose(rates(5, schedule="constant"), RATE)


def test_cosine():
    s = np.arange(40)
    np.testing.assert_allclose(rates(40, schedule="cosine"), RATE / 2 * (1 + np.cos(np.pi * s / 40)), rtol=1e-6)


def test_step():
    found = rates(35, schedule="step", decay_steps=10, decay_rate=0.5)
    np.testing.assert_allclose(found, RATE * 0.5 ** (np.arange(35) // 10), rtol=1e-6)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "step"])
def test_warmup_shifts_the_schedule(schedule):
    decay = {"decay_steps": 7} if schedule == "step" else {}
    found = rates(30, schedule=schedule, warmup_steps=10, **decay)
    np.testing.assert_allclose(found[:10], RATE * np.arange(10) / 10, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(found[10:], rates(20, schedule=schedule, **decay), rtol=1e-6)


def test_one_cycle():
    steps, peak = 50, 15
    s = np.arange(steps)
    low, last = RATE / 25, RATE / 25e4
    up = low + (RATE - low) * (1 - np.cos(np.pi * s / peak)) / 2
    down = last + (RATE - last) * (1 + np.cos(np.pi * (s - peak) / (steps - peak))) / 2
    np.testing.assert_allclose(rates(steps, schedule="one_cycle"), np.where(s < peak, up, down), rtol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle"])
def test_short_trainings_have_a_learning_rate(schedule, steps):
    found = rates(steps, schedule=schedule)
    assert np.all(np.isfinite(found)) and np.all(found > 0) and np.all(found <= RATE * (1 + 1e-6))


def descend(w, grads, **options):
    """The weight after some steps with given gradients."""
    optimizer = make_optimizer(OptimizerConfig(learning_rate=RATE, schedule="constant", **options), 100)
    w, state = jnp.asarray(w), None
    for grad in grads:
        state = optimizer.init(w) if state is None else state
        update, state = optimizer.update(jnp.asarray(grad), state, w)
        w = w + update
    return np.asarray(w)


def adam(w, grads, coupled=0.0, decoupled=0.0):
    m = v = 0.0
    for t, g in enumerate(grads, start=1):
        g = g + coupled * w
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        w = w - RATE * (m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8) + decoupled * w)
    return w


W, GRADS = np.array([1.0, -2.0]), [np.array([0.3, -0.1]), np.array([-0.2, 0.4]), np.array([0.5, 0.1])]


def test_adamw_decays_weights_beside_the_gradient():
    np.testing.assert_allclose(descend(W, GRADS, kind="adamw", weight_decay=0.1), adam(W, GRADS, decoupled=0.1), rtol=1e-9)


def test_adam_decays_weights_through_the_gradient():
    np.testing.assert_allclose(descend(W, GRADS, kind="adam", weight_decay=0.1), adam(W, GRADS, coupled=0.1), rtol=1e-9)
    np.testing.assert_allclose(descend(W, GRADS, kind="adam", weight_decay=0.0), adam(W, GRADS), rtol=1e-9)


def test_sgd():
    w = W
    for g in GRADS:
        w = w - RATE * (g + 0.1 * w)
    np.testing.assert_allclose(descend(W, GRADS, kind="sgd", weight_decay=0.1), w, rtol=1e-12)


def test_lion():
    w, m = W, 0.0
    for g in GRADS:
        w, m = w - RATE * (np.sign(0.9 * m + 0.1 * g) + 0.1 * w), 0.99 * m + 0.01 * g
    np.testing.assert_allclose(descend(W, GRADS, kind="lion", weight_decay=0.1), w, rtol=1e-9)


def test_clipping_scales_the_whole_gradient():
    """With one step of gradient descent the update is the clipped gradient."""
    large, small = np.array([3.0, 4.0]), np.array([0.3, 0.4])
    options = {"kind": "sgd", "weight_decay": 0.0, "clip": 1.0}
    np.testing.assert_allclose(W - descend(W, [large], **options), RATE * large / 5, rtol=1e-9)
    np.testing.assert_allclose(W - descend(W, [small], **options), RATE * small, rtol=1e-9)


def test_the_schedule_reaches_the_update():
    config = OptimizerConfig(kind="sgd", learning_rate=RATE, weight_decay=0.0, schedule="cosine", warmup_steps=2)
    optimizer, schedule = make_optimizer(config, 10), make_schedule(config, 10)
    state = optimizer.init(jnp.zeros(()))
    for step in range(10):
        update, state = optimizer.update(jnp.ones(()), state, jnp.zeros(()))
        np.testing.assert_allclose(-update, schedule(step), rtol=1e-7)
