import dataclasses
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.config import ModelConfig, load_config
from neuralop_jax.data import HDF5Dataset
from neuralop_jax.errors import ConfigError
from neuralop_jax.models import FNO, Autoregressive, at_times, build, clipped_modes, on_times, spec_of
from neuralop_jax.normalizers import GaussianNormalizer, IdentityNormalizer
from neuralop_jax.training._setup import prepare

INNER = {"kind": "fno", "n_modes": [8], "width": 6, "depth": 1}
KEY = jax.random.key(0)


def model_of(times=(1.0,), **options):
    plain = {"in_channels": 1, "out_channels": len(times), "operator": INNER, "times": times, "key": KEY}
    return Autoregressive(**(plain | options))


@pytest.mark.parametrize("residual", [True, False])
def test_states_are_those_of_a_loop_and_between_them_on_a_line(residual):
    model = model_of((0.0, 0.5, 0.6, 1.5), time_step=0.5, residual=residual)
    u = jax.random.normal(KEY, (1, 3, 16))
    states = [u]
    for _ in range(3):
        states.append(model.inner.evaluate(states[-1]) + (states[-1] if residual else 0))
    expected = [states[0], states[1], 0.8 * states[1] + 0.2 * states[2], states[3]]
    found = jax.jit(lambda m, u: m.frames(u))(model, u)
    np.testing.assert_allclose(found, jnp.stack(expected), atol=1e-12)
    np.testing.assert_allclose(jax.jit(lambda m, u: m.evaluate(u))(model, u), jnp.concatenate(expected), atol=1e-12)


def test_channels_of_a_state_stay_together_and_rounding_takes_no_step():
    times = tuple(np.arange(1, 8) * 0.1)  # 0.1 * 3 is not 0.3
    model = model_of(times, in_channels=2, out_channels=14)
    assert model.time_step == 0.1
    u = jax.random.normal(KEY, (2, 16))
    frames = jax.jit(lambda m, u: m.frames(u))(model, u)
    np.testing.assert_allclose(model(u).reshape(7, 2, 16), frames, atol=1e-12)
    state = u
    for frame in frames:
        state = state + model.inner(state)
        np.testing.assert_allclose(frame, state, atol=1e-10)


def test_other_times_with_the_same_weights():
    model = model_of((1.0, 2.0))
    other = model.at_times((0.5, 1.0, 1.75))
    assert other.time_step == 1.0 and other.out_channels == 3
    assert eqx.tree_equal(other.inner, model.inner)
    u = jax.random.normal(KEY, (1, 16))
    one, two = model(u)
    np.testing.assert_allclose(other(u), jnp.stack([(u[0] + one) / 2, one, one / 4 + 0.75 * two]), atol=1e-12)


def test_specification_and_modes_of_the_operator_inside():
    model = model_of((1.0, 2.0), residual=False)
    spec = json.loads(json.dumps(spec_of(model)))
    assert spec["operator"]["n_modes"] == [8] and spec["times"] == [1.0, 2.0]
    assert spec_of(build(spec, key=KEY)) == spec
    assert clipped_modes(model, (6,)) == (6,) and clipped_modes(model, (16,)) is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"times": (), "out_channels": 1}, "times must be a list of at least one time"),
        ({"times": (1.0, 1.0), "out_channels": 2}, r"times must increase, from 0 or later, got \[1.0, 1.0\]"),
        ({"times": (0.0,)}, "times must go beyond 0"),
        ({"times": (-1.0,)}, "times must increase, from 0 or later"),
        ({"out_channels": 2}, "out_channels must be those of the states at 1 times, 1 x 1, got 2"),
        ({"time_step": -0.5}, "time_step must be positive"),
        ({"operator": {"kind": "deeponet", "sensors": [16]}}, "'deeponet' does not map grids to grids"),
        ({"operator": INNER | {"complex_data": True}}, "operator has complex_data=True"),
        ({"operator": INNER | {"out_channels": 1}}, "operator.out_channels follows from the operator around it"),
        ({"num_dims": 2}, "has 1 entries, the data have 2 space axes"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        model_of(**options)


def test_an_operator_that_changes_the_grid_is_refused():
    model = model_of((1.0,), operator=INNER | {"output_scaling": [2]})
    with pytest.raises(ConfigError, match="Use one that keeps the grid"):
        model(jnp.ones((1, 16)))


def test_frames_of_a_configuration_are_the_times_of_the_model():
    """Every second frame of the real trajectories; the output is in the units of the input."""
    config = load_config("configs/burgers_small/fno.toml", ["--data.target-time", "2::2"])
    experiment = prepare(dataclasses.replace(config, model=ModelConfig("autoregressive", {"operator": INNER})))
    operator, known = experiment.operator, experiment.train.info.splits["train"].times
    np.testing.assert_allclose(operator.model.times, np.asarray(known[2::2]) - known[0])
    assert operator.model.time_step == pytest.approx(known[2] - known[0]) and operator.out_channels == 8
    shift, scale = operator.output.shift_and_scale()
    assert np.ptp(np.asarray(shift)) == 0 and np.ptp(np.asarray(scale)) == 0
    np.testing.assert_allclose(shift[0], operator.input.shift_and_scale()[0][0])


def test_ranges_of_frames():
    path = "datasets/burgers_small/burgers_small.h5"
    every = HDF5Dataset(path, "train", "velocity", "velocity", input_time="first")
    some = HDF5Dataset(path, "train", "velocity", "velocity", input_time="first", target_time="1:8:3")
    assert some[3].target.shape == (3, 16) and len(every.times) == 17
    np.testing.assert_array_equal(some[3].target, every[3].target[1:8:3])
    np.testing.assert_allclose(some.times, every.times[1:8:3])
    assert every.times[0] == 0 and HDF5Dataset(path, "train", "velocity", "velocity").times[0] < 0
    for text in ("1:2:0", "2", "a:b", "-:", ""):
        with pytest.raises(ConfigError, match="must be 'all', 'first', 'last' or a range of frames"):
            HDF5Dataset(path, "train", "velocity", "velocity", target_time=text)


def test_a_range_without_frames_is_refused():
    for text in ("20:", "5:2"):
        with pytest.raises(ConfigError, match=f"target_time '{text}' takes none of the 17 frames of 'train'. Use 0:17"):
            HDF5Dataset("datasets/burgers_small/burgers_small.h5", "train", "velocity", "velocity", target_time=text)


@pytest.mark.parametrize(
    ("words", "options", "said"),
    [
        ([], {"times": [1.0, 2.0]}, "out_channels must be"),
        ([], {"times": [float(t) for t in range(1, 9)]}, "model.times .* are not those of the target's frames, .0.12, 0.24"),
        (["--data.target-normalizer", "rms"], {}, "with 'rms'. Make both the same"),
    ],
)
def test_configurations_whose_states_do_not_follow_the_input_are_refused(words, options, said):
    config = load_config("configs/burgers_small/fno.toml", ["--data.target-time", "2::2", *words])
    with pytest.raises(ConfigError, match=said):
        prepare(dataclasses.replace(config, model=ModelConfig("autoregressive", {"operator": INNER} | options)))


def test_operators_follow_the_times_of_what_they_are_compared_with():
    model, other = model_of((1.0, 2.0)), FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=1, key=KEY)
    assert on_times(other, (1.0,)) is other and on_times(model, (1.0, 2.0 + 1e-9)) is model
    assert on_times(model, (np.float64(0.5),)).times == (0.5,) and on_times(model, ()) is model
    with pytest.raises(ConfigError, match="FNO returns what it was trained on"):
        at_times(other, (1.0,))


def test_repeated_normalizers():
    one = GaussianNormalizer(jnp.asarray([1.0, -2.0]), jnp.asarray([2.0, 3.0]))
    u = jax.random.normal(KEY, (6, 5))
    np.testing.assert_allclose(one.repeated(3).normalize(u).reshape(3, 2, 5), jax.vmap(one.normalize)(u.reshape(3, 2, 5)))
    assert IdentityNormalizer().repeated(4) == IdentityNormalizer()
