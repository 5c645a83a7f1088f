"""Verdicts on steps, against a simulation in Python."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.training import Guard, GuardRule


def judged(rule, losses, norms):
    """The verdicts `m`ade, `s`kipped, `h`eld of successive steps, and the memory at the end."""

    def one(carry, values):
        step, guard = carry
        made, skipped, guard = rule.judge(guard, step, *values)
        return (step + made + skipped, guard), (made, skipped)

    start = jnp.zeros((), jnp.int32), Guard.create()
    (step, guard), (made, skipped) = jax.lax.scan(one, start, (jnp.asarray(losses), jnp.asarray(norms)))
    return "".join("m" if m else "s" if s else "h" for m, s in zip(made, skipped)), int(step), guard


def test_by_default_a_step_that_is_not_finite_holds_the_training():
    verdicts, step, guard = judged(GuardRule(), [1.0, np.nan, 1.0, 1.0], [1.0, 1.0, np.inf, 1e30])
    assert verdicts == "mhhm" and step == 2 and guard.skipped == 0


def test_skips_are_bounded_in_a_row_and_in_all():
    bad = [np.nan if letter == "x" else 1.0 for letter in ".xx.xxx.x"]
    assert judged(GuardRule(True, max_in_a_row=2), bad, [1.0] * 9)[0] == "mssmsshms"
    verdicts, step, guard = judged(GuardRule(True, max_skips=3), bad, [1.0] * 9)
    assert verdicts == "mssmshhmh" and step == 6 and guard.skipped == 3 and guard.in_a_row == 0


@pytest.mark.parametrize("factor", [3.0, 20.0])
def test_spikes_are_measured_by_the_mean_of_the_norms_of_steps_that_were_made(factor):
    norms = np.exp(np.random.default_rng(0).normal(size=200))
    norms[[5, 50, 51, 120]] *= np.array([100, 1e4, 1e4, 1e4])
    made, wanted = [], ""
    for norm in norms:
        weights = 0.98 ** np.arange(len(made))[::-1]
        spike = len(made) >= 20 and norm > factor * np.sum(weights * made) / np.sum(weights)
        wanted += "s" if spike else "m"
        made += [] if spike else [norm]
    verdicts, step, guard = judged(GuardRule(spike_factor=factor), [1.0] * 200, norms)
    assert verdicts == wanted and wanted[50] == wanted[51] == "s" and wanted[5] == "m" and step == 200
    np.testing.assert_allclose(guard.mean_norm, np.sum(0.02 * 0.98 ** np.arange(len(made))[::-1] * made), rtol=1e-5)
