"""Coverage of conformal bands: two thousand independent calibrations at once, one in each channel or at each point."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from scipy import stats

from neuralop_jax.data import Sample
from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.evaluation import conformal_bands, coverage
from neuralop_jax.evaluation._uncertainty import conformal_rank
from neuralop_jax.models import AbstractOperator, Ensemble

TRIALS = 2000


class Gain(AbstractOperator):
    """v = a u."""

    a: jax.Array
    in_channels: int = eqx.field(static=True, default=1)
    out_channels: int = eqx.field(static=True, default=1)
    width: int = eqx.field(static=True, default=1)

    def __call__(self, u, *, x=None, y=None, p=None, key=None):
        return self.a * u


def noisy(count, shape, seed):
    """Inputs, and targets that are wrong by an amount which depends on the input: heteroscedastic, skewed, and biased."""
    rng = np.random.default_rng(seed)
    u = rng.uniform(0.5, 2, (count, *shape))
    return Sample({"u": u}, u + u**2 * (rng.exponential(size=u.shape) - 0.3))


def part(sample, rows):
    return jax.tree.map(lambda a: a[rows], sample)


def within(hits, probability, trials=TRIALS):
    """Whether so many hits are likely for independent trials: outside of these bounds are one in 10,000."""
    low, high = stats.binom.interval(1 - 1e-4, trials, probability)
    return low <= hits <= high


@pytest.mark.parametrize(("count", "alpha"), [(19, 0.1), (30, 0.25), (99, 0.05)])
def test_functions_are_covered_as_often_as_promised(count, alpha):
    """Each channel is a trial with its own calibration and one new function: covered with ceil((n + 1)(1 - alpha))/(n + 1)."""
    data = noisy(count + 1, (TRIALS, 5), seed=count)
    bands = conformal_bands(Gain(jnp.asarray(1.0)), part(data, slice(count)), alpha=alpha)
    found = coverage(bands, part(data, slice(count, None)))
    assert bands.radius.shape == (TRIALS, 1) and found["count"] == 1
    probability = conformal_rank(count, alpha) / (count + 1)
    assert 1 - alpha <= probability <= 1 - alpha + 1 / (count + 1)
    assert within(np.sum(found["functions"]), probability)
    assert not within(np.sum(found["functions"]), probability - 0.06)  # the bounds can tell
    np.testing.assert_allclose(found["width"], 2 * bands.radius[:, 0], rtol=1e-6)


def test_points_are_covered_as_often_as_promised_and_functions_are_not():
    count, alpha = 39, 0.1
    data = noisy(count + 1, (1, TRIALS), seed=7)
    bands = conformal_bands(Gain(jnp.asarray(1.0)), part(data, slice(count)), alpha=alpha, kind="pointwise")
    found = coverage(bands, part(data, slice(count, None)))
    assert bands.radius.shape == (1, TRIALS) and found["functions"] == [0.0]
    assert within(round(found["points"][0] * TRIALS), 36 / 40)


def test_coverage_of_many_new_functions_by_one_calibration():
    """Of m new functions, the number covered is beta-binomial. Another kind of data is not covered."""
    data = noisy(400, (1, 6, 4), seed=1)
    bands = conformal_bands(Gain(jnp.asarray(1.0)), part(data, slice(100)), alpha=0.2, batch_size=30)
    found = coverage(bands, part(data, slice(100, None)), batch_size=70)
    law = stats.betabinom(300, 81, 20)
    assert law.ppf(1e-4) <= round(300 * found["functions"][0]) <= law.ppf(1 - 1e-4) and found["count"] == 300
    shifted = part(data, slice(100, None))
    shifted = Sample(shifted.inputs, shifted.target + 5)
    assert coverage(bands, shifted)["functions"][0] < 0.5


def test_joint_bands_contain_all_channels_at_once():
    data = noisy(300, (3, 4), seed=2)
    calibration, new = part(data, slice(100)), part(data, slice(100, None))
    model = Gain(jnp.asarray(1.0))
    joint = conformal_bands(model, calibration, alpha=0.2, joint=True)
    scores = np.sort(np.abs(calibration.target - calibration.inputs["u"]).max((1, 2)))
    np.testing.assert_allclose(joint.radius, np.full((3, 1), scores[80]), rtol=1e-12)
    apart = conformal_bands(model, calibration, alpha=0.2)
    assert np.all(np.asarray(apart.radius) < np.asarray(joint.radius))

    def inside(bands):
        ends = zip(*jax.vmap(bands)(jnp.asarray(new.inputs["u"])), new.target, strict=True)
        return np.mean([np.all((low <= target) & (target <= high)) for low, high, target in ends])

    law = stats.betabinom(200, 81, 20)
    assert law.ppf(1e-4) <= round(200 * inside(joint)) <= law.ppf(1 - 1e-4) and inside(apart) < inside(joint)


def test_bands_of_an_ensemble_are_wide_where_members_disagree():
    """Members a = 0.5, 1, 1.5 have the mean u and the spread |u|/2, in which the scores are measured."""
    ensemble = Ensemble.joined([Gain(jnp.asarray(a)) for a in (0.5, 1.0, 1.5)])
    data = noisy(25, (1, 8), seed=3)
    bands = conformal_bands(ensemble, part(data, slice(19)), alpha=0.1)
    u, target = data.inputs["u"], data.target
    scores = np.sort((np.abs(target - u) / (u / 2)).max((1, 2))[:19])
    np.testing.assert_allclose(bands.radius, [[scores[17]]], rtol=1e-10)
    low, high = bands(jnp.asarray(u[20]))
    np.testing.assert_allclose([low, high], [u[20] * (1 - scores[17] / 2), u[20] * (1 + scores[17] / 2)], rtol=1e-10)
    agreeing = jnp.asarray(u[20]).at[0, 3].set(0.0)  # where members agree, the scale is a thousandth of the usual one
    low, high = bands(agreeing)
    np.testing.assert_allclose((high - low)[0, 3], 2 * scores[17] * 1e-3 * np.sqrt(np.mean(agreeing**2)) / 2, rtol=1e-10)
    plain = conformal_bands(ensemble, part(data, slice(19)), alpha=0.1, scaled=False)
    np.testing.assert_allclose(plain.radius, [[np.sort(np.abs(target - u).max((1, 2))[:19])[17]]], rtol=1e-10)


def test_too_few_samples_and_other_mistakes_are_one_line(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # users have no check of types
    model, data = Gain(jnp.asarray(1.0)), noisy(18, (1, 4), seed=4)
    assert conformal_rank(9, 0.1) == 9 and conformal_rank(19, 0.05) == 19
    with pytest.raises(ConfigError) as error:
        conformal_bands(model, data, alpha=0.05)
    assert str(error.value) == (
        "18 calibration samples are too few for bands with alpha=0.05, which take at least 19. Hold more samples out, or raise alpha."
    )
    with pytest.raises(ConfigError, match=r"alpha=1e-300, which take at least 1e\+300\. Hold"):
        conformal_bands(model, data, alpha=1e-300)
    with pytest.raises(ConfigError, match="alpha must be between 0 and 1.*got 1.5. Try 0.1"):
        conformal_bands(model, data, alpha=1.5)
    with pytest.raises(ConfigError, match="scaled bands need the spread of an Ensemble, got Gain. Use scaled=False"):
        conformal_bands(model, data, scaled=True)
    with pytest.raises(ConfigError, match="alpha must be between 0 and 1.*got 'a'. Try 0.1"):
        conformal_bands(model, data, alpha="a")
    with pytest.raises(
        ConfigError, match="kind must be one of 'function', 'pointwise', got 'Function'. Did you mean 'function'?"
    ):
        conformal_bands(model, data, kind="Function")


def test_bands_of_functions_are_for_any_grid_and_those_at_points_for_theirs():
    model, data, other = Gain(jnp.asarray(1.0)), noisy(18, (1, 4), seed=4), noisy(3, (1, 8), seed=5)
    u = jnp.asarray(other.inputs["u"][0])
    functions, points = (conformal_bands(model, data, kind=kind) for kind in ("function", "pointwise"))
    np.testing.assert_allclose(functions(u)[1] - u, np.broadcast_to(functions.radius, u.shape), rtol=1e-10)
    for call in (lambda: points(u), lambda: coverage(points, other)):
        with pytest.raises(ModelInputError) as error:
            call()
        assert str(error.value) == (
            "pointwise bands are for the grid (4,) of their calibration, got predictions on (8,). Use that grid, or bands of "
            "kind='function'."
        )
