"""Members that are trained by one program are trained as they would be alone."""

import dataclasses
import io
import json

import equinox as eqx
import numpy as np
import pytest
from rich.console import Console
from small_problem import StopAt, lines_of, logged

from neuralop_jax.errors import ConfigError, TrainingDiverged
from neuralop_jax.training import fit, fit_together

NUMBERS = [(0, 1e-2, 0.0), (1, 1e-2, 0.0), (0, 3e-2, 1e-2)]
HARD = {"clip": 1.0, "schedule": "one_cycle", "accumulate": 2}


def members(configure, place, numbers=NUMBERS, optimizer=None, **options):
    return {
        place / str(number): configure(
            optimizer={**(optimizer or {}), "learning_rate": rate, "weight_decay": decay}, seed=seed, **options
        )
        for number, (seed, rate, decay) in enumerate(numbers)
    }


@pytest.fixture
def said():
    console = Console(file=io.StringIO(), width=200)
    return console, console.file.getvalue


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_each_member_is_the_run_that_it_would_be_alone(configure, tmp_path, quiet, kind):
    """With clipping, a schedule, averages, micro-batches and several batches per step, which all have a state or a loop."""
    options = {"optimizer": {**HARD, "kind": kind}, "training": {"ema": 0.9, "micro_batch": 2, "evaluate_every": 4}}
    outcomes = fit_together(members(configure, tmp_path / "together", **options), console=quiet)
    for run, config in members(configure, tmp_path / "alone", **options).items():
        alone, joint = fit(config, run_dir=run, console=quiet), outcomes[tmp_path / "together" / run.name]
        assert eqx.tree_equal(joint.operator, alone.operator, rtol=1e-9, atol=1e-11)
        for ours, theirs in zip(lines_of(tmp_path / "together" / run.name), lines_of(run), strict=True):
            for name in ("step", "loss", "gradient_norm", "learning_rate"):
                np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-9)
        found, wanted = (json.loads((place / "results.json").read_text()) for place in (tmp_path / "together" / run.name, run))
        np.testing.assert_allclose(found["splits"]["test_8"]["relative_l2"], wanted["splits"]["test_8"]["relative_l2"], rtol=1e-9)
        assert found.keys() == wanted.keys() and {p.name for p in run.iterdir()} == {
            p.name for p in (tmp_path / "together" / run.name).iterdir()
        }


def test_members_that_were_stopped_go_on_to_the_bit(configure, tmp_path, quiet):
    """The request comes when one has made six steps and the others are already at the next ones, where they stop."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    fit_together(members(configure, whole), console=quiet)
    stopped = fit_together(members(configure, parts), console=quiet, stop=StopAt(parts / "2", 6))
    assert [result.status for result in stopped.values()] == ["stopped"] * 3
    assert [lines_of(run)[-1]["step"] for run in stopped] == [8, 8, 6]
    outcomes = fit_together(members(configure, parts), console=quiet)
    for run, result in outcomes.items():
        assert result.status == "finished"
        assert logged(run)[:5] == logged(whole / run.name)[:5]  # as long as all three are trained
        np.testing.assert_allclose(
            [line["loss"] for line in lines_of(run)], [line["loss"] for line in lines_of(whole / run.name)], rtol=1e-12
        )


def test_a_member_that_fails_or_stops_early_leaves_the_others_alone(configure, tmp_path, quiet):
    numbers = [(0, 1e-2, 0.0), (1, 3e38, 3e38), (2, 1e-2, 0.0)]
    runs = members(configure, tmp_path / "runs", numbers, {"kind": "sgd"})
    (tmp_path / "runs/2").mkdir(parents=True)
    (tmp_path / "runs/2/notes").write_text("mine")
    good, diverged, refused = fit_together(runs, console=quiet).values()
    assert isinstance(diverged, TrainingDiverged) and "at step" in str(diverged)
    assert (tmp_path / "runs/1/nan_batch.npz").exists() and "holds files but no run" in str(refused)
    alone = fit(runs[tmp_path / "runs/0"], run_dir=tmp_path / "alone", console=quiet)
    assert eqx.tree_equal(good.operator, alone.operator, rtol=1e-9, atol=1e-11)


def test_what_cannot_be_joined_is_trained_one_after_the_other(configure, tmp_path, said):
    console, text = said
    runs = members(configure, tmp_path, NUMBERS[:2], data={"loader": "grain"}, training={"steps": 2})
    assert [result.status for result in fit_together(runs, console=console).values()] == ["finished"] * 2
    assert "2 runs are trained one after the other: their samples are read from the disk" in text()
    other = dataclasses.replace(runs[tmp_path / "0"], model=dataclasses.replace(runs[tmp_path / "0"].model, options={"width": 8}))
    with pytest.raises(ConfigError, match="may differ in seed, learning rate and weight decay alone"):
        fit_together({**runs, tmp_path / "2": other})
