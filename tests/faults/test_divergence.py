"""Losses and gradients that are not finite, or suddenly large: stop, skip, roll back."""

import dataclasses
import json
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_problem import StopAt, lines_of, logged, write_sines

from neuralop_jax import checkpoint, losses
from neuralop_jax.checkpoint import CheckpointStore
from neuralop_jax.config import LossConfig
from neuralop_jax.data import HDF5Dataset, batch_indices
from neuralop_jax.errors import TrainingDiverged
from neuralop_jax.training import DeviceInterval, RunDirectory, fit, make_schedule, stream
from neuralop_jax.training._divergence import retried


@pytest.fixture
def poisoned(data_file, monkeypatch):
    """Gives the losses of these samples another value; the others have their mean square."""

    def poison(*indices, value=jnp.nan):
        samples = HDF5Dataset(data_file, "train", "a", "v")
        marks = jnp.asarray([samples[index].target[0, 0] for index in indices])

        def loss(v, target, grid):
            return jnp.mean((v - target) ** 2) * jnp.where(jnp.any(target[0, 0] == marks), value, 1.0)

        monkeypatch.setitem(losses.LOSSES, "mse", loss)

    return poison


def batch(config, step):
    """The samples of a step of the small problem, of which there are twelve."""
    return batch_indices(stream(config.seed, "data"), step, 12, 4).tolist()


def assert_finite(run):
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(checkpoint.load(run)))


def test_f14_stop_names_the_step_and_keeps_the_last_good_checkpoint(unmeasured, configure, quiet, run, poisoned):
    config = configure(loss=LossConfig("mse"), training={"log_every": 1, "save_every": 1})
    poisoned(batch(config, 2)[1])
    with pytest.raises(TrainingDiverged) as caught:
        fit(config, run_dir=run, console=quiet)
    message, lines = str(caught.value), lines_of(run)
    dumped = json.loads((run / "nan_batch.json").read_text())
    assert (dumped["step"], dumped["indices"], dumped["loss"]) == (2, batch(config, 2), "nan")
    targets = [HDF5Dataset(config.data.path, "train", "a", "v")[index].target for index in batch(config, 2)]
    with np.load(run / "nan_batch.npz") as arrays:
        np.testing.assert_array_equal(arrays["target"], targets)
        assert arrays["u"].shape == (4, 1, 8)
    assert message.startswith(f"loss is nan at step 2 (last finite loss {lines[1]['loss']:.4g}, lr ") and "\n" not in message
    for part in (
        "gradient norm ",
        f"batch in {run / 'nan_batch.json'} and .npz",
        "last good checkpoint: step 2.",
        "Try --optimizer.clip",
    ):
        assert part in message
    assert [line["step"] for line in lines] == [1, 2] and message in (run / "run.log").read_text()
    assert not (run / "DONE").exists()
    assert_finite(run)


@pytest.mark.parametrize("loader", ["device", "grain"])
def test_f14_skip_leaves_out_the_bad_steps_counts_them_and_resumes_to_the_bit(
    unmeasured, configure, quiet, run, poisoned, loader
):
    """One batch of every epoch of three is bad. What is logged is the mean over the steps that were made."""
    plan = {"nonfinite": "skip", "ema": 0.9, "log_every": 3, "save_every": 6}
    config = configure(loss=LossConfig("mse"), training=plan, data={"loader": loader})
    poisoned(5)
    results = fit(config, run_dir=run, console=quiet).results
    lines, schedule = lines_of(run), make_schedule(config.optimizer, 12)
    assert [line["skipped"] for line in lines] == [1, 2, 3, 4] and results["skipped_steps"] == 4
    assert all(np.isfinite(line["loss"]) for line in lines)
    assert [line["learning_rate"] for line in lines] == [pytest.approx(float(schedule(made - 1))) for made in (2, 4, 6, 8)]
    assert (run / "run.log").read_text().count("skipped step ") == 4
    assert_finite(run)
    with CheckpointStore(run / "checkpoints") as store:
        assert int(store.read(12)[1]["optimizer"]["[0].count"]) == 8
    other = run.with_name("b")
    fit(config, run_dir=other, stop=StopAt(other, 6), console=quiet)
    fit(config, run_dir=other, resume=True, console=quiet)
    assert logged(other) == logged(run) and lines_of(other)[-1]["skipped"] == 4


@pytest.mark.parametrize(("limits", "step"), [({"max_skips_in_a_row": 3}, 3), ({"max_skips": 2}, 2)])
def test_f14_skipping_ends(unmeasured, configure, quiet, run, poisoned, limits, step):
    config = configure(loss=LossConfig("mse"), training={"nonfinite": "skip", "log_every": 6, "save_every": 6, **limits})
    poisoned(*range(12))
    with pytest.raises(TrainingDiverged, match=rf"loss is nan at step {step} \(no finite .*, {step} steps skipped just before\)"):
        fit(config, run_dir=run, console=quiet)


def test_f14_what_is_written_is_strict_json(unmeasured, configure, quiet, run, poisoned):
    """An interval without a step that was made has no mean loss, and JSON no number for that."""
    config = configure(loss=LossConfig("mse"), training={"nonfinite": "skip", "steps": 4, "log_every": 2, "save_every": 2})
    poisoned(*range(12))
    fit(config, run_dir=run, console=quiet)
    texts = [*(run / "metrics.jsonl").read_text().splitlines(), *(path.read_text() for path in run.rglob("*.json"))]

    def refuse(name):
        raise AssertionError(name)

    trees = [json.loads(text, parse_constant=refuse) for text in texts]
    assert [tree["loss"] for tree in trees[:2]] == ["nan", "nan"] and len(trees) > 5
    with RunDirectory(run, resume=True) as directory:
        assert [math.isnan(line["loss"]) for line in directory.metrics()] == [True, True]
    longer = dataclasses.replace(config, training=dataclasses.replace(config.training, steps=6))
    assert fit(longer, run_dir=run, resume=True, console=quiet).results["skipped_steps"] == 6


def test_f14_rollback_takes_other_batches_and_half_the_rate_and_resumes_to_the_bit(unmeasured, configure, quiet, run, poisoned):
    plan = {"nonfinite": "rollback", "steps": 3, "log_every": 1, "save_every": 1}
    for seed in range(50):  # a sample that only the first order brings after the first step
        config = configure(loss=LossConfig("mse"), training=plan, seed=seed)
        again = retried(config, 1)
        if left := set(batch(config, 1)) - set(batch(again, 1)) - set(batch(again, 2)):
            break
    poisoned(min(left))
    result = fit(config, run_dir=run, console=quiet)
    log, schedule = (run / "run.log").read_text(), make_schedule(config.optimizer, 3)
    assert "rollback 1 of 3 to step 1: other batches, half the learning rate" in log and "loss is nan at step 1" in log
    assert result.status == "finished" and result.results["rollbacks"] == 1 and result.results["goodput"]["lost"] > 0
    rates = [line["learning_rate"] for line in lines_of(run)]
    assert rates == [pytest.approx(float(schedule(step)) * part) for step, part in enumerate((1, 0.5, 0.5))]
    assert_finite(run)
    other = run.with_name("b")
    fit(config, run_dir=other, stop=StopAt(other, 2), console=quiet)
    fit(config, run_dir=other, resume=True, console=quiet)
    assert logged(other) == logged(run)


def spoil(monkeypatch, step, times):
    """Makes the weights finite but useless, `times` times, at the end of the interval that ends at a step."""
    advance, left = DeviceInterval.__call__, [None] * times

    def spoiled(self, state, num_steps):
        state, history = advance(self, state, num_steps)
        if int(state.step) == step and left:
            left.pop()
            model = eqx.tree_at(lambda model: model.model.outer, state.model, replace_fn=lambda w: w * 1e200)
            state = dataclasses.replace(state, model=model)
        return state, history

    monkeypatch.setattr(DeviceInterval, "__call__", spoiled)


def test_f14_rollback_leaves_a_spoiled_checkpoint_behind(unmeasured, configure, quiet, run, monkeypatch):
    """What fails again before it has saved begins at an older step."""
    spoil(monkeypatch, step=3, times=1)
    plan = {"nonfinite": "rollback", "steps": 5, "log_every": 1, "save_every": 1, "keep": 3}
    config = configure(loss=LossConfig("mse"), training=plan)
    result = fit(config, run_dir=run, console=quiet)
    log = (run / "run.log").read_text()
    assert [f"rollback {n} of 3 to step {step}" in log for n, step in ((1, 3), (2, 2))] == [True, True]
    assert result.status == "finished" and result.results["rollbacks"] == 2
    assert [line["step"] for line in lines_of(run)] == [1, 2, 3, 4, 5]
    rates = [line["learning_rate"] for line in lines_of(run)]
    schedule = make_schedule(config.optimizer, 5)
    assert rates == [pytest.approx(float(schedule(step)) * part) for step, part in enumerate((1, 1, 0.25, 0.25, 0.25))]
    assert_finite(run)


def test_f14_what_is_advised_at_the_end_has_not_been_tried(unmeasured, configure, quiet, run, monkeypatch):
    """Without an older step, the training begins again from the start. No checkpoint is lost by trying."""
    spoil(monkeypatch, step=2, times=5)
    config = configure(loss=LossConfig("mse"), training={"nonfinite": "rollback", "steps": 5, "log_every": 1, "save_every": 2})
    with pytest.raises(TrainingDiverged) as caught:
        fit(config, run_dir=run, console=quiet)
    log = (run / "run.log").read_text()
    assert [f"rollback {n} of 3 to {where}" in log for n, where in ((1, "step 2"), (2, "the start"), (3, "step 2"))] == [True] * 3
    assert str(caught.value).endswith(
        "With other batches and 1/8 of the learning rate it came no further. Train anew with --optimizer.clip 1 or a lower "
        "--optimizer.learning-rate, and look at the batch."
    )
    assert [path.name for path in (run / "checkpoints").iterdir() if path.name.isdigit()] == ["2"]


def test_f14_rolling_back_ends_after_three_times(unmeasured, configure, quiet, run, poisoned):
    poisoned(*range(12))
    config = configure(loss=LossConfig("mse"), training={"nonfinite": "rollback", "steps": 2}, data={"loader": "grain"})
    with pytest.raises(TrainingDiverged, match="loss is nan at step 0"):
        fit(config, run_dir=run, console=quiet)
    assert (run / "run.log").read_text().count(" of 3 to the start") == 3


def test_f15_a_spike_is_skipped_or_clipped(unmeasured, configure, quiet, run, data_file, poisoned):
    """The loss of one sample, which comes up once, in step 22 of 24, is a million times too large."""
    write_sines(data_file, 100)
    indices = batch_indices(stream(0, "data"), 22, 100, 4).tolist()
    poisoned(indices[0], value=1e6)
    sgd = {"kind": "sgd", "schedule": "constant"}
    plan = {"steps": 25, "log_every": 5, "save_every": 25}
    finals = {}
    for name, optimizer, guard in (
        ("free", {}, {}),
        ("clipped", {"clip": 1.0}, {}),
        ("guarded", {}, {"spike_factor": 10.0}),
    ):
        config = configure(loss=LossConfig("mse"), optimizer={**sgd, **optimizer}, training={**plan, **guard})
        fit(config, run_dir=run.with_name(name), console=quiet)
        lines = lines_of(run.with_name(name))
        model = checkpoint.load(run.with_name(name)).model
        finals[name] = float(jnp.max(jnp.abs(model.outer)))
        assert lines[-1]["skipped"] == (name == "guarded")
        if name == "guarded":
            assert lines[-1]["gradient_norm"] < 10 * lines[0]["gradient_norm"]
            assert "skipped step 22 (loss " in (run.with_name(name) / "run.log").read_text()
    assert finals["free"] > 100 and finals["clipped"] < 2 and finals["guarded"] < 2


@pytest.mark.parametrize(("nonfinite", "skips"), [("stop", 2), ("skip", 0)])
def test_f15_what_ends_on_a_spike_says_so_and_advises_what_helps(
    unmeasured, configure, quiet, run, data_file, poisoned, nonfinite, skips
):
    """From step 22 on every loss is a million times too large. The mean is that of the logged norms of the steps before."""
    write_sines(data_file, 100)
    plan = {
        "steps": 25,
        "log_every": 1,
        "save_every": 25,
        "max_skips_in_a_row": skips,
        "nonfinite": nonfinite,
        "spike_factor": 8.0,
    }
    config = configure(loss=LossConfig("mse"), optimizer={"kind": "sgd", "schedule": "constant"}, training=plan)
    poisoned(*(index for step in (22, 23, 24) for index in batch_indices(stream(0, "data"), step, 100, 4).tolist()), value=1e6)
    with pytest.raises(TrainingDiverged) as caught:
        fit(config, run_dir=run, console=quiet)
    norms = [line["gradient_norm"] for line in lines_of(run)[:22]]
    weights = 0.98 ** np.arange(22)[::-1]
    mean, step = np.sum(weights * norms) / np.sum(weights), 22 + skips
    norm = float(json.loads((run / "nan_batch.json").read_text())["gradient_norm"])
    message = str(caught.value)
    assert norm > 1e4 * mean and message.startswith(
        f"gradient norm is {norm:.4g}, over training.spike_factor 8 times its mean {mean:.4g}, at step {step} (last finite loss "
    )
    assert message.endswith(
        f". Such steps are skipped, but at most {skips} in a row and 100 in all. Try a larger --training.spike-factor (10 to 100 "
        "are usual), a lower --optimizer.learning-rate, or --optimizer.clip 1 with --training.spike-factor 0."
    )
