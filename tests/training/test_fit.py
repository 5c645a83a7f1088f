import json

import equinox as eqx
import h5py
import jax
import numpy as np
import pytest
from small_problem import StopAt, lines_of, logged

from neuralop_jax import checkpoint, evaluation
from neuralop_jax.config import from_json
from neuralop_jax.data import HDF5Dataset, read_info
from neuralop_jax.errors import ConfigError, DataError, RunDirError
from neuralop_jax.training import _loop, fit, make_schedule, prepare, stream
from neuralop_jax.training._goodput import Goodput


@pytest.fixture
def run(tmp_path):
    return tmp_path / "runs" / "a"


@pytest.fixture
def unmeasured(monkeypatch):
    """Spares the compilation of the evaluation, where it does not matter."""
    monkeypatch.setattr(evaluation, "evaluate", lambda operator, split, batch_size: {"relative_l2": 0.5})


def test_a_run_leaves_everything(configure, quiet, run, data_file):
    config = configure(training={"steps": 7, "evaluate_every": 4})
    result = fit(config, run_dir=run, console=quiet)
    names = {"config.json", "env.json", "metrics.jsonl", "results.json", "run.log", "run.lock", "checkpoints", "DONE"}
    assert {file.name for file in run.iterdir()} == names
    assert from_json(json.loads((run / "config.json").read_text())) == config

    lines, schedule = lines_of(run), make_schedule(config.optimizer, 7)
    assert [line["step"] for line in lines] == [2, 4, 6, 7]
    for line in lines:
        assert line["learning_rate"] == pytest.approx(float(schedule(line["step"] - 1)), rel=1e-12)
    assert [set(line.get("splits", ())) for line in lines] == [set(), {"test_8", "test_16"}, set(), set()]

    results = json.loads((run / "results.json").read_text())
    assert results == result.results and result.status == results["status"] == "finished"
    assert results["parameters"] == 8 and results["steps"] == 7 and results["seed"] == 0
    assert results["versions"]["jax"] == jax.__version__ and results["train_seconds"] > results["compile_seconds"] > 0
    operator = checkpoint.load(run)
    assert eqx.tree_equal(operator, result.operator)
    assert checkpoint.load_info(run) == read_info(data_file)
    for name, split in results["splits"].items():
        wanted = evaluation.evaluate(operator, HDF5Dataset(data_file, name, "a", "v"), batch_size=4)
        assert split["relative_l2"] == pytest.approx(wanted["relative_l2"], rel=1e-12)
    assert json.loads((run / "env.json").read_text())["data"] == HDF5Dataset(data_file, "train", "a", "v").fingerprint


def test_it_learns(unmeasured, configure, quiet, run):
    config = configure(
        training={"steps": 600, "log_every": 200, "save_every": 600}, model={"width": 16}, optimizer={"learning_rate": 0.1}
    )
    fit(config, run_dir=run, console=quiet)
    assert lines_of(run)[-1]["loss"] < 0.8 * lines_of(run)[0]["loss"]


def test_normalizers_see_training_data_alone(configure, data_file):
    experiment = prepare(configure())
    with h5py.File(data_file) as file:
        a, v = (file[f"train/t0_fields/{name}"][:] for name in "av")
    np.testing.assert_allclose(experiment.operator.input.mean, [a.mean()], rtol=1e-6)
    np.testing.assert_allclose(experiment.operator.output.std, [v.std()], rtol=1e-6)


def test_streams_are_different_and_fixed():
    draws = {(seed, name): int(jax.random.bits(stream(seed, name))) for seed in (0, 1) for name in ("init", "data", "noise")}
    assert len(set(draws.values())) == 6
    assert draws[0, "data"] == int(jax.random.bits(jax.random.fold_in(jax.random.key(0), 1)))


@pytest.mark.parametrize("seed", [0, 1])
def test_the_seed_decides(unmeasured, configure, quiet, run, seed):
    fit(configure(), run_dir=run, console=quiet)
    fit(configure(seed=seed), run_dir=run.with_name("b"), console=quiet)
    assert (logged(run) == logged(run.with_name("b"))) == (seed == 0)


@pytest.mark.parametrize("loader", ["device", "grain"])
def test_a_resumed_run_repeats_every_bit(configure, quiet, run, loader):
    options = {"data": {"loader": loader, "augment": ("reflect",)}, "optimizer": {"accumulate": 2, "clip": 0.5}}
    config = configure(**options, training={"ema": 0.9, "micro_batch": 2})
    whole = fit(config, run_dir=run, console=quiet)
    other = run.with_name("b")
    for step in (2, 6):
        stopped = fit(config, run_dir=other, resume=step > 2, stop=StopAt(other, step), console=quiet)
        assert stopped.status == "stopped" and stopped.results is None
        assert not (other / "results.json").exists() and lines_of(other)[-1]["step"] == step
    resumed = fit(config, run_dir=other, resume=True, console=quiet)
    assert logged(other) == logged(run)
    assert eqx.tree_equal(resumed.operator, whole.operator)
    assert resumed.results["splits"] == whole.results["splits"]


def test_an_interval_that_was_not_saved_is_done_again(unmeasured, configure, quiet, run):
    """Lines behind the newest checkpoint, as a killed run leaves them, are written anew."""
    fit(configure(), run_dir=run, console=quiet)
    wanted = logged(run)
    with checkpoint.CheckpointStore(run / "checkpoints") as store:
        assert store.steps() == [8, 12]
        store.discard_after(8)
        saved = Goodput(**store.read(8, ())[0]["progress"]["goodput"])
    lost = lines_of(run)[-1]["seconds"] - saved.seconds
    with open(run / "metrics.jsonl", "a") as file:
        file.write('{"step": 14, "lo')
    goodput = fit(configure(), run_dir=run, resume=True, console=quiet).results["goodput"]
    assert logged(run) == wanted
    assert goodput["lost"] == pytest.approx(lost, rel=1e-12) and lost > 0
    whole = sum(goodput[name] for name in ("steps", "compile", "save", "evaluate", "lost"))
    assert goodput["fraction"] == pytest.approx(goodput["steps"] / whole, rel=1e-6) and min(goodput.values()) > 0
    first, second = (line for line in (run / "run.log").read_text().splitlines() if "goodput" in line)
    assert f"goodput {100 * goodput['fraction']:.1f} % (seconds: steps " in second and second != first


def test_a_damaged_checkpoint_costs_its_steps_only(unmeasured, configure, quiet, run):
    fit(configure(), run_dir=run, console=quiet)
    wanted, operator = logged(run), checkpoint.load(run)
    (run / "checkpoints" / "12" / "meta.json").write_text("{}")
    with pytest.warns(UserWarning, match="12 is damaged .* Step 8 is used instead"):
        checkpoint.load(run)
    result = fit(configure(), run_dir=run, resume=True, console=quiet)
    assert logged(run) == wanted and eqx.tree_equal(result.operator, operator)
    assert "12 is damaged" in (run / "run.log").read_text()
    assert eqx.tree_equal(checkpoint.load(run, strict=True), operator)


def test_a_run_without_checkpoint_starts_again(unmeasured, configure, quiet, run):
    fit(configure(training={"steps": 2}), run_dir=run, console=quiet)
    with checkpoint.CheckpointStore(run / "checkpoints") as store:
        store.discard_after(0)
    fit(configure(training={"steps": 4}), run_dir=run, resume=True, console=quiet)
    assert [line["step"] for line in lines_of(run)] == [2, 4]


def test_a_longer_plan_goes_on(unmeasured, configure, quiet, run):
    fit(configure(), run_dir=run, console=quiet)
    before = logged(run)
    changed = configure(training={"steps": 15, "log_every": 3, "save_every": 6, "evaluate_every": 3, "keep": 1})
    result = fit(changed, run_dir=run, resume=True, console=quiet)
    assert result.results["steps"] == 15 and [line["step"] for line in lines_of(run)][-1] == 15
    assert logged(run)[: len(before)] == before
    assert from_json(json.loads((run / "config.json").read_text())) == changed


def test_a_shorter_plan_than_was_trained_is_refused(unmeasured, configure, quiet, run):
    """Its configuration would say fewer steps than its weights have."""
    fit(configure(), run_dir=run, console=quiet)
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file() and file.name != "run.log"}
    with pytest.raises(
        ConfigError, match="has trained 12 steps, more than training.steps, got 6. Use --training.steps 12 or more"
    ):
        fit(configure(training={"steps": 6}), run_dir=run, resume=True, force=True, console=quiet)
    assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file() and file.name != "run.log"} == before


def test_a_finished_run_resumed_is_measured_again(configure, quiet, run):
    first = fit(configure(), run_dir=run, console=quiet)
    again = fit(configure(), run_dir=run, resume=True, console=quiet)
    assert again.results["splits"] == first.results["splits"] and again.results["train_seconds"] == first.results["train_seconds"]


def test_another_configuration_is_refused(unmeasured, configure, quiet, run):
    fit(configure(), run_dir=run, console=quiet)
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    changed = configure(model={"width": 8}, optimizer={"learning_rate": 5e-3}, training={"steps": 20, "ema": 0.9})
    with pytest.raises(ConfigError) as caught:
        fit(changed, run_dir=run, resume=True, console=quiet)
    message = str(caught.value)
    assert "\n" not in message and "steps" not in message
    for part in ("model.width unset -> 8", "optimizer.learning_rate 0.01 -> 0.005", "training.ema 0.0 -> 0.9"):
        assert part in message
    assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == before


def test_other_data_are_refused(unmeasured, configure, quiet, run, data_file):
    fit(configure(), run_dir=run, console=quiet)
    with h5py.File(data_file, "r+") as file:
        del file["train/t0_fields/a"].attrs["sha256"]
        file["train/t0_fields/a"][0, 0] += 1
    with pytest.raises(DataError, match="the training split has changed since step 12"):
        fit(configure(), run_dir=run, resume=True, console=quiet)


def test_averaged_weights_are_what_is_evaluated_and_loaded(unmeasured, configure, quiet, run):
    plain = fit(configure(), run_dir=run, console=quiet).operator
    averaged = fit(configure(training={"ema": 0.9}), run_dir=run.with_name("b"), console=quiet).operator
    assert logged(run) == logged(run.with_name("b"))
    assert not eqx.tree_equal(plain, averaged) and eqx.tree_equal(checkpoint.load(run.with_name("b")), averaged)
    assert eqx.tree_equal(averaged.input, plain.input)


def errors_of(monkeypatch, sequence):
    """Makes the evaluations give these errors, one after the other."""
    left = iter(sequence)
    monkeypatch.setattr(_loop, "_evaluate", lambda operator, experiment, config: {"test_8": {"relative_l2": next(left)}})


def test_early_stopping_counts_evaluations_without_improvement(configure, quiet, run, monkeypatch):
    plan = {"evaluate_every": 2, "early_stop_split": "test_8", "early_stop_patience": 2, "steps": 40}
    errors_of(monkeypatch, [0.5, 0.4, 0.45, 0.39, 0.41, 0.39, 0.0])
    result = fit(configure(training=plan), run_dir=run, console=quiet)
    assert result.status == result.results["status"] == "stopped_early" and result.results["steps"] == 12
    with checkpoint.CheckpointStore(run / "checkpoints", read_only=True) as store:
        assert store.steps()[-1] == 12
    assert (run / "DONE").exists()


def test_early_stopping_counts_on_after_an_interruption(configure, quiet, run, monkeypatch):
    plan = {"evaluate_every": 2, "early_stop_split": "test_8", "early_stop_patience": 2, "steps": 40}
    errors_of(monkeypatch, [0.5, 0.4, 0.45])
    fit(configure(training=plan), run_dir=run, stop=StopAt(run, 6), console=quiet)
    errors_of(monkeypatch, [0.4, 0.0])
    result = fit(configure(training=plan), run_dir=run, resume=True, console=quiet)
    assert result.status == "stopped_early" and result.results["steps"] == 8


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"data": {"batch_size": 13}}, DataError, "split 'train' has 12 samples, fewer than batch size 13"),
        ({"data": {"train_split": "trian"}}, DataError, "Did you mean 'train'"),
        (
            {"training": {"evaluate_every": 2, "early_stop_split": "tset_8"}},
            ConfigError,
            "'tset_8' is no held-out split of .*, which has test_8, test_16. Did you mean 'test_8'?",
        ),
        ({"model": {"widht": 3}}, ConfigError, "unknown option 'model.widht'"),
    ],
)
def test_nothing_is_written_before_every_check(configure, quiet, run, options, error, message):
    with pytest.raises(error, match=message):
        fit(configure(**options), run_dir=run, console=quiet)
    assert not run.parent.exists()


def test_fewer_points_than_modes_are_refused_before_training(configure, quiet, run):
    config = configure()
    object.__setattr__(config, "model", type(config.model)("fno", {"n_modes": 12, "width": 2, "depth": 1}))
    with pytest.raises(ConfigError, match=r"n_modes=\(12,\) needs a training grid .* has \(8,\)"):
        fit(config, run_dir=run, console=quiet)
    assert not run.parent.exists()


def test_a_run_is_not_overwritten(unmeasured, configure, quiet, run):
    fit(configure(training={"steps": 2}), run_dir=run, console=quiet)
    with pytest.raises(RunDirError, match=r"already holds a run \(step 2\)"):
        fit(configure(), run_dir=run, console=quiet)
    with pytest.raises(RunDirError, match="no run to resume"):
        fit(configure(), run_dir=run.with_name("none"), resume=True, console=quiet)
    assert not run.with_name("none").exists()
