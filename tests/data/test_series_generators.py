"""Labeled series: their curves in closed form, classes, irregular times, missing values, and the way to a trained classifier."""

import json

import equinox as eqx
import jax
import numpy as np
import pytest

from neuralop_jax.__main__ import main
from neuralop_jax.data import HDF5Dataset
from neuralop_jax.data.generators import PenStrokes, Spirals, build_generator, generator_options
from neuralop_jax.errors import ConfigError


def series(generator, count=200, resolution=32):
    keys = jax.random.split(jax.random.key(0), count)
    fields, codes = eqx.filter_jit(jax.vmap(lambda key: generator.simulate(resolution, key=key)))(keys)
    assert not codes.any() and set(fields) == {field.name for field in generator.fields}
    assert all(fields[field.name].shape == (count, field.channels, resolution) for field in generator.fields)
    return {name: np.asarray(values) for name, values in fields.items()}


def test_spirals_turn_as_their_class_says():
    generator = Spirals(noise=0.0, lowest_frequency=5.0, highest_frequency=5.0)
    fields = series(generator)
    time, z = fields["time"][:, 0], fields["position"][:, 0] + 1j * fields["position"][:, 1]
    turn = np.angle(z[:, 1:] / z[:, :-1]) / np.diff(time, axis=1)
    sign = fields["class"][:, 1, :1] - fields["class"][:, 0, :1]
    np.testing.assert_allclose(turn, np.broadcast_to(5.0 * sign, turn.shape), rtol=1e-9)
    np.testing.assert_allclose(np.abs(z[:, 0]), 1)
    decay = -np.log(np.abs(z[:, 1:])) / time[:, 1:]
    np.testing.assert_allclose(decay, np.broadcast_to(decay[:, -1:], decay.shape), rtol=1e-6, atol=1e-9)
    assert decay.min() >= -1e-9 and decay.max() <= 2 and 0.35 < fields["class"][:, 0, 0].mean() < 0.65


@pytest.mark.parametrize("generator", [Spirals(missing=0.3), PenStrokes(missing=0.3)])
def test_times_are_irregular_and_a_part_is_missing(generator):
    fields = series(generator)
    gaps = np.diff(fields["time"][:, 0].astype(np.float32), axis=1)
    assert np.all(fields["time"][:, 0, 0] == 0) and np.allclose(fields["time"][:, 0, -1], 1) and gaps.min() > 0
    assert gaps.std() > 0.7 * gaps.mean()
    observed = fields["observed"]
    assert set(np.unique(observed)) == {0, 1} and observed[..., 0].all() and not fields["position"][observed == 0].any()
    assert observed[..., 1:].mean() == pytest.approx(0.7, abs=0.01)
    assert np.all(fields["class"].sum(axis=1) == 1) and np.all(fields["class"] == fields["class"][..., :1])


def test_a_character_is_the_same_curve_in_every_writing():
    fields = series(PenStrokes(num_classes=3, hand=0.0, noise=0.0), count=60)
    label = fields["class"][:, :, 0].argmax(axis=1)
    ends = fields["position"][..., -1]
    for character in range(3):
        np.testing.assert_allclose(ends[label == character], ends[label == character][:1].repeat((label == character).sum(), 0))
    other = series(PenStrokes(num_classes=3, hand=0.0, noise=0.0, alphabet=1), count=1)
    assert np.abs(other["position"][0, :, -1] - ends).min() > 1e-3


def test_options_are_checked():
    generator = build_generator("pen_strokes", {"num_classes": 4, "missing": 0.5})
    assert build_generator("pen_strokes", generator_options(generator)) == generator
    for name, options, message in (
        ("spirals", {"missing": 1.0}, "missing"),
        ("pen_strokes", {"num_classes": 1}, "num_classes"),
        ("spirals", {"misssing": 0.1}, "missing"),
    ):
        with pytest.raises(ConfigError, match=message):
            build_generator(name, options)
    with pytest.raises(ConfigError, match="at least two observations"):
        Spirals().grid(1)
    with pytest.raises(ConfigError, match="highest_frequency must be at least lowest_frequency"):
        Spirals(lowest_frequency=20.0).simulate(8, key=jax.random.key(0))


def test_from_the_generator_to_an_accuracy(tmp_path, capsys):
    file, run = tmp_path / "spirals.h5", tmp_path / "run"
    command = ["generate", "spirals", "--n", "100", "--test", "40", "--resolution", "12", "--missing", "0.3"]
    assert main([*command, "--highest-frequency", "5", "--out", str(file)]) == 0
    sample = HDF5Dataset(file, "test", ("time", "position", "observed"), "class")[0]
    assert sample.inputs["u"].shape == (5, 12) and sample.target.shape == (2, 12)
    options = ["--data.path", str(file), "--data.batch-size", "20", "--model.width", "8", "--optimizer.warmup-steps", "0"]
    options += ["--training.steps", "40", "--training.log-every", "20", "--training.save-every", "40"]
    assert main(["train", "configs/spirals/neural_cde.toml", *options, "--training.evaluate-every", "20", "--out", str(run)]) == 0
    result = json.loads((run / "results.json").read_text())["splits"]["test"]
    assert result["accuracy"] > 0.8 and result["accuracy"] * 40 == pytest.approx(round(result["accuracy"] * 40))
    printed = capsys.readouterr()
    assert "test accuracy 0." in printed.out and "report failed" not in printed.out + printed.err
    assert f"{result['accuracy']:.4f}" in (run / "report.html").read_text()
