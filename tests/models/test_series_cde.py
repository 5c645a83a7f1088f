"""A neural CDE on series: missing values by mask, repeats, other ways to say the same series, and failures as NaN."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.layers import control
from neuralop_jax.models import SeriesCDE

RNG = np.random.default_rng(0)
TIMES = np.cumsum(RNG.uniform(0.05, 0.2, (3, 1, 9)), axis=-1)
VALUES = RNG.standard_normal((3, 2, 9))
MASK = (RNG.uniform(size=VALUES.shape) > 0.3).astype(float)
MASK[..., 0] = 1
run = eqx.filter_jit(lambda model, u: model.batched(u))


def model_of(**options):
    options = {"in_channels": 5, "out_channels": 3, "masked": True, "width": 4, "hidden": (6,), **options}
    return SeriesCDE(**options, key=jax.random.key(0))


def series(times=TIMES, values=VALUES, mask=MASK):
    return jnp.asarray(np.concatenate([times, values, mask], axis=1))


@pytest.mark.parametrize("kind", ["hermite", "rectilinear"])
def test_it_is_the_layer_along_the_control_of_what_is_observed(kind):
    model = model_of(control=kind, count_weight=0.1, readout="all")
    values = jnp.asarray(np.where(MASK > 0, VALUES, np.nan))
    along = lambda cde, t, v: cde(control(t, v.T, kind=kind, count_weight=0.1, throw=False), throw=False).values.T
    wanted = eqx.filter_jit(jax.vmap(along, in_axes=(None, 0, 0)))(model.cde, jnp.asarray(TIMES[:, 0]), values)
    found = run(model, series())
    np.testing.assert_allclose(found, wanted, atol=1e-13)
    np.testing.assert_array_equal(run(model, series(values=np.where(MASK > 0, VALUES, 77.0))), found)
    last = run(model_of(control=kind, count_weight=0.1), series())
    np.testing.assert_allclose(last, found[..., -1:].repeat(9, axis=-1), atol=1e-13)


def test_repeats_of_the_last_observation_change_nothing():
    model, pad = model_of(), lambda part: np.pad(part, ((0, 0), (0, 0), (0, 50)), mode="edge")
    long = run(model, series(pad(TIMES), pad(VALUES), pad(MASK)))
    np.testing.assert_allclose(long[..., 0], run(model, series())[..., 0], atol=1e-13)


def test_a_series_that_is_none_is_nan_and_leaves_the_others_alone():
    times, mask = TIMES.copy(), MASK.copy()
    times[1, 0, 4] = times[1, 0, 3]
    mask[2, 1] = 0
    found = run(model_of(), series(times, mask=mask))
    np.testing.assert_allclose(found[0], run(model_of(), series())[0], rtol=1e-12)
    assert np.isnan(found[1:]).all()


def test_options_and_inputs_that_do_not_fit_are_refused_in_one_line():
    for options, message in (
        ({"in_channels": 4}, "in_channels must be one time and a mask for each value, an odd number of at least 3, got 4"),
        ({"in_channels": 1, "masked": False}, "in_channels must be a time and values, at least 2, got 1"),
        ({"control": "cubic"}, "kind must be one of"),
        ({"control": "rectilinear", "fill": "interpolate"}, "knows no later observation"),
        ({"solver": "rk4"}, "solver must be one of"),
        ({"hidden": (0,)}, "every entry of hidden must be an integer of at least 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            model_of(**options)
    with pytest.raises(ModelInputError, match="1 space axis"):
        model_of()(series())
    with pytest.raises(ModelInputError, match="at least two observations, got 1"):
        model_of()(series()[0, :, :1])
