"""Controls: values and slopes against Diffrax, missing values, repeats, streams, and input that is no series."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax._result import NONFINITE, SUCCESS
from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.layers import ControlStream, control, control_channels, pad_series

TIMES = np.asarray([0.0, 0.3, 0.4, 1.0, 1.7, 2.0])
FULL = np.random.default_rng(0).standard_normal((6, 2))
GAPS = np.where([[0, 1], [0, 0], [1, 0], [1, 1], [0, 1], [0, 0]], np.nan, FULL)
KINDS = ("hermite", "linear", "rectilinear")
NAN = float("nan")


def through(times=TIMES, values=GAPS, **options):
    return control(jnp.asarray(times), jnp.asarray(values), **options)


@eqx.filter_jit
def traced(times, values, options):
    return control(times, values, **options)


def compiled_through(times=TIMES, values=GAPS, **options):
    return jax.tree.map(np.asarray, traced(jnp.asarray(times), jnp.asarray(values), options))


@eqx.filter_jit
def along(path, points):
    return jax.vmap(path.evaluate)(points), jax.vmap(path.derivative)(points)


def test_cubic_and_linear_paths_are_those_of_diffrax(compiled):
    points = jnp.asarray([0.05, 0.29, 0.35, 0.7, 1.2, 1.99])
    channels = np.concatenate([TIMES[:, None], GAPS], axis=1)
    first = channels[1] * [0.0, 1.0, 1.0]  # a leading gap is filled by the first observation

    def published(times, channels, first):
        filled = diffrax.linear_interpolation(times, channels, replace_nans_at_start=first)
        cubic = diffrax.CubicInterpolation(times, diffrax.backward_hermite_coefficients(times, filled))
        return [along(path, points) for path in (diffrax.LinearInterpolation(times, filled), cubic)]

    found = [along(compiled_through(kind=kind), points) for kind in ("linear", "hermite")]
    for (values, slopes), wanted in zip(found, compiled(published, *map(jnp.asarray, (TIMES, channels, first)))):
        np.testing.assert_allclose(values, wanted[0], atol=1e-13)
        np.testing.assert_allclose(slopes, wanted[1], atol=1e-12)


def test_a_rectilinear_path_lets_time_pass_then_jumps(compiled):
    path = compiled_through(kind="rectilinear")
    known = np.where(np.arange(12).reshape(6, 2) == 1, 0.0, GAPS)
    times, values = compiled(diffrax.rectilinear_interpolation, jnp.asarray(TIMES), jnp.asarray(known))
    np.testing.assert_array_equal(path.values, np.concatenate([times[:, None], values], axis=1))
    np.testing.assert_array_equal(path.knots, np.arange(11.0))
    time_passes, values_jump = path.coefficients[::2], path.coefficients[1::2]
    assert not np.any(time_passes[:, :, 1:]) and not np.any(values_jump[:, :, 0])
    middle = compiled(lambda path, s: path.evaluate(s), path, jnp.asarray(1.5))
    np.testing.assert_allclose(middle, (path.values[1] + path.values[2]) / 2, atol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_meet_at_the_knots(kind):
    path = compiled_through(kind=kind, count_weight=0.5)
    np.testing.assert_allclose(path.values[:-1] + path.coefficients.sum(axis=1), path.values[1:], atol=1e-14)
    assert path.values.shape[1] == control_channels(2, 0.5) == 5


def test_the_cubic_is_once_continuously_differentiable():
    path = compiled_through(kind="hermite")
    lengths, (b, c, d) = np.diff(TIMES)[:, None], np.moveaxis(np.asarray(path.coefficients), 1, 0)
    np.testing.assert_allclose(((b + 2 * c + 3 * d) / lengths)[:-1], (b / lengths)[1:], atol=1e-12)


def test_missing_values_are_filled_between_or_forward_and_counted():
    values = np.asarray([[NAN], [1.0], [NAN], [3.0], [NAN]])
    times, fillings = np.asarray([0.0, 1.0, 1.5, 3.0, 4.0]), {"interpolate": [1, 1, 1.5, 3, 3], "forward": [0, 1, 1, 3, 3]}
    for fill, wanted in fillings.items():
        path = compiled_through(times, values, kind="linear", fill=fill, count_weight=2)
        np.testing.assert_allclose(path.values[:, 1], wanted)
        np.testing.assert_array_equal(path.values[:, 2], [0, 2, 2, 4, 4])


@pytest.mark.parametrize("kind", KINDS)
def test_repeats_of_the_end_rest(kind, compiled):
    short = compiled_through(kind=kind, count_weight=0.1)
    times, values = pad_series([TIMES, np.arange(9.0)], [GAPS, np.ones((9, 2))])
    assert times.shape == (2, 9) and values.shape == (2, 9, 2)
    path = compiled_through(times[0], values[0], kind=kind, count_weight=0.1)
    number = len(short.coefficients)
    np.testing.assert_array_equal(path.coefficients[:number], short.coefficients)
    assert not np.any(path.coefficients[number:]) and len(path.coefficients) == number * 8 // 5
    np.testing.assert_allclose(compiled(lambda p, s: p.evaluate(s), path, short.knots[-1]), short.values[-1], atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_gives_the_pieces_of_the_whole_series(kind):
    times, values = np.append(TIMES, [2.0, 2.0]), np.append(GAPS, GAPS[[-1, -1]], axis=0)
    stream, pieces = ControlStream(kind, count_weight=0.1), []
    state = jax.jit(stream.begin)(times[0], jnp.asarray(values[0]))
    extend = jax.jit(stream.extend)
    for time, value in zip(times[1:], values[1:], strict=True):
        state, new = extend(state, time, jnp.asarray(value))
        pieces.append(new)
    whole = compiled_through(times, values, kind=kind, fill="forward", count_weight=0.1)
    np.testing.assert_allclose(np.concatenate(pieces), whole.coefficients, atol=1e-14)
    np.testing.assert_allclose(state.value, whole.values[-1], atol=1e-14)


def test_a_stream_refuses_what_comes_too_late():
    stream = ControlStream("linear")
    state = stream.begin(1.0, jnp.ones(2))
    with pytest.raises(ModelInputError, match="observations must arrive in time, got 0.5 behind 1"):
        stream.extend(state, 0.5, jnp.ones(2))
    late, pieces = jax.jit(stream.extend)(state, 1.0, 2 * jnp.ones(2))
    assert np.isnan(pieces[:, 0]).all() and np.isnan(late.value).all()


BAD = {
    "times must increase, got 0.2 behind 0.4 at observation 3": (lambda t, v: (np.r_[0, 0.3, 0.4, 0.2, 1.7, 2.0], v)),
    "times must increase, got 0.3 behind 0.3 at observation 2": (lambda t, v: (np.r_[0, 0.3, 0.3, 1, 1.7, 2.0], v)),
    "times must increase, got 2 behind 2 at observation 5": (lambda t, v: (np.r_[0, 0.3, 0.4, 1, 2, 2], v)),
    "times must be finite, got nan at observation 1": (lambda t, v: (np.r_[0, NAN, 0.4, 1, 1.7, 2.0], v)),
    "times must increase, got 1.7 behind 2 at observation 1": (lambda t, v: (t[::-1], v)),
    "needs two observations at different times, got 1 to 1": (lambda t, v: (np.ones(6), v * 0 + 1)),
    "got infinity": (lambda t, v: (t, np.where(v == v[0, 0], np.inf, v))),
    "channel 1 has no observation": (lambda t, v: (t, v * np.asarray([1, NAN]))),
}


@pytest.mark.parametrize("message", BAD)
def test_what_is_no_series_is_refused(message):
    with pytest.raises(ModelInputError, match=message) as raised:
        through(*BAD[message](TIMES, FULL))
    assert "\n" not in str(raised.value)


def test_where_input_is_traced_each_series_has_its_result_code():
    series = [(TIMES, FULL), *(spoil(TIMES, FULL) for spoil in BAD.values()), (TIMES, GAPS)]
    times, values = (jnp.asarray(np.stack(part)) for part in zip(*series, strict=True))
    for kind in KINDS:
        path = jax.jit(jax.vmap(lambda t, v: control(t, v, kind=kind, throw=False)))(times, values)  # noqa: B023
        assert path.result.tolist() == [SUCCESS, *[NONFINITE] * len(BAD), SUCCESS]
        good = np.asarray(path.result) == SUCCESS
        assert np.isfinite(path.coefficients[good]).all() and np.isnan(path.values[~good]).all()
    with pytest.raises(RuntimeError, match="NaN or infinity"):
        jax.block_until_ready(jax.jit(lambda t, v: control(t, v).values)(times[1], values[1]))


def test_shapes_and_options_are_refused_in_one_line():
    with pytest.raises(ModelInputError, match="needs at least two observations, got 1"):
        through(TIMES[:1], FULL[:1])
    with pytest.raises(ModelInputError, match="got 5 times for 6"):
        through(TIMES[:5], FULL)
    with pytest.raises(ConfigError, match="kind must be one of 'hermite'.*Did you mean 'linear'"):
        through(kind="lineal")
    with pytest.raises(ConfigError, match="knows no later observation"):
        through(kind="rectilinear", fill="interpolate")
    with pytest.raises(ConfigError, match="count_weight must be"):
        through(count_weight=-1)
    with pytest.raises(ModelInputError, match="at least one"):
        pad_series([np.zeros(0)], [np.zeros((0, 1))])


def test_what_is_no_observation_is_refused():
    for times, values in ((TIMES, FULL[:, 0]), (np.stack([TIMES, TIMES]), FULL)):
        with pytest.raises(ModelInputError, match=r"takes times \(observations,\) and values"):
            through(times, values)
    with pytest.raises(ModelInputError, match="values of a control must be real floating numbers, got int64"):
        through(TIMES, FULL.astype(int))
    stream = ControlStream("linear", count_weight=0.1)
    state = stream.begin(0.0, jnp.ones(2))
    for call, message in (
        (lambda: stream.begin(NAN, jnp.ones(2)), "one finite time, got nan"),
        (lambda: stream.begin(0.0, jnp.ones(2, int)), r"a floating vector, \(values,\), got int64"),
        (lambda: stream.extend(state, 0.5, jnp.ones(2, int)), r"a floating vector, \(values,\), got int64"),
        (lambda: stream.extend(state, 0.5, jnp.ones(3)), "began with 2 values, got 3"),
    ):
        with pytest.raises(ModelInputError, match=message):
            call()


def test_a_control_ends_with_its_last_observation():
    path = through(kind="linear")
    with pytest.raises(ModelInputError, match="the control covers 0 to 2, it was asked for 2.5. Shorten the horizon"):
        path.evaluate(2.5)
    slopes = jax.jit(lambda path, s: jax.vmap(path.derivative)(s))(path, jnp.asarray([-0.1, 0.0, 2.0, 2.1]))
    assert np.isnan(slopes).all(axis=1).tolist() == [True, False, False, True]
