import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError
from neuralop_jax.losses import curriculum, push_forward_loss, relative_l2
from neuralop_jax.models import FactFormer

KEY = jax.random.key(0)


def test_gradient_sees_the_last_call_only():
    """FactFormer, acceptance 8: exactly zero with respect to the frames of the calls before."""
    options = {"in_channels": 3, "out_channels": 2, "num_dims": 1, "width": 8, "depth": 1, "heads": 1, "head_width": 4}
    model = FactFormer(**options, latent_steps=2, key=KEY)
    window, targets = jax.random.normal(KEY, (3, 1, 6)), jax.random.normal(jax.random.key(1), (6, 1, 6))

    @eqx.filter_jit
    def slopes(model):
        def loss(model, errors, calls):
            added = iter(errors)
            return push_forward_loss(lambda w: model(w) + next(added), window, targets, calls=calls)

        return [eqx.filter_grad(lambda e, n=n: loss(model, e, n))(jnp.zeros((3, 2, 6))) for n in (0, 1, 2)], eqx.filter_grad(
            lambda m: loss(m, jnp.zeros((3, 2, 6)), 2)
        )(model)

    by_frames, by_weights = slopes(model)
    for calls, slope in enumerate(by_frames):
        assert not jnp.any(slope[:calls]) and jnp.all(slope[calls] != 0)
    assert jnp.any(by_weights.head.output.weight != 0)


@pytest.mark.parametrize("calls", [0, 1, 2])
def test_targets_are_the_frames_of_the_last_call(calls):
    """A step that counts on: frames 0, 1, 2, ... each against its own number, of which only two are read."""
    ahead = lambda w: w[-1:] + jnp.arange(1.0, 3)[:, None]  # two frames per call
    window = jnp.arange(-3.0, 0)[:, None, None] * jnp.ones((1, 1, 4))
    targets = jnp.arange(6.0)[:, None, None] * jnp.ones((1, 1, 4))
    assert push_forward_loss(ahead, window, targets, calls=calls) < 1e-14
    wrong = targets.at[2 * calls : 2 * calls + 2].add(1)
    others = targets.at[: 2 * calls].add(1).at[2 * calls + 2 :].add(1)
    assert push_forward_loss(ahead, window, wrong, calls=calls) > 0.1
    assert push_forward_loss(ahead, window, others, calls=calls) < 1e-14


def test_more_frames_than_the_window_holds_and_a_constraint():
    step = lambda w: jnp.concatenate([w[:1] + 1, w[:1] + 2, w[:1] + 3])
    window, targets = jnp.zeros((1, 1, 4)), jnp.ones((6, 1, 4))
    assert jnp.allclose(push_forward_loss(step, window, targets, calls=1, loss=lambda f, y: jnp.sum(f[:, 0, 0])), 4 + 5 + 6)
    walled = push_forward_loss(
        step, window, targets, calls=1, constrain=lambda w: w.at[..., 0].set(0), loss=lambda f, y: jnp.sum(f[:, 0, 0])
    )
    assert jnp.allclose(walled, 1 + 2 + 3)


def test_of_one_call_is_the_relative_error_of_all_frames():
    window, targets = jax.random.normal(KEY, (2, 2, 5)), jax.random.normal(jax.random.key(1), (2, 2, 5))
    np.testing.assert_allclose(push_forward_loss(lambda w: 3 * w, window, targets), relative_l2(3 * window, targets), rtol=1e-12)


def test_too_few_targets():
    with pytest.raises(ConfigError, match="needs 6 target frames for 3 calls, got 5"):
        push_forward_loss(lambda w: w, jnp.ones((2, 1, 4)), jnp.ones((5, 1, 4)), calls=2)


def test_curriculum_needs_a_length():
    with pytest.raises(ConfigError, match="length of at least one iteration, got 0"):
        curriculum(0, start=1, end=4, length=0)


def test_curriculum_of_the_published_runs():
    """CurriculumSampler(1, 4, 6000): int(3 * step / 6000) more than one, and four from there on."""
    values = [curriculum(i, start=1, end=4, length=6000) for i in (0, 1999, 2000, 3999, 4000, 5999, 6000, 9000)]
    assert values == [1, 1, 2, 2, 3, 3, 4, 4]
