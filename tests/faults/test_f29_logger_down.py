"""F29: a logger that fails stops no training; metrics.jsonl is the record."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from neuralop_jax import evaluation
from neuralop_jax.config import load_config
from neuralop_jax.training import fit

ROOT = Path(__file__).parent.parent.parent


class Fake:
    """A service that is down from some step on, or when it is closed."""

    def __init__(self, fails_at):
        self.fails_at, self.steps = fails_at, []

    def log(self, line):
        if line["step"] >= self.fails_at:
            raise TimeoutError("the service does not answer")
        self.steps.append(line["step"])

    def close(self):
        if self.fails_at == 9:
            raise TimeoutError("the service does not answer")


@pytest.mark.parametrize(("fails_at", "steps"), [(4, [2]), (9, [2, 4, 6])])
def test_f29_a_logger_that_raises(tmp_path, monkeypatch, fails_at, steps):
    monkeypatch.setattr(evaluation, "evaluate", lambda operator, split, batch_size: {"relative_l2": 0.5})
    options = [f"--data.path={ROOT}/datasets/darcy_small/darcy_small.h5", "--model.n-modes=4,4", "--model.depth=1"]
    options += ["--model.width=4", "--training.log-every=2", "--training.save-every=2", "--training.steps=6"]
    options += ["--optimizer.warmup-steps=0"]
    config = load_config(ROOT / "configs/darcy_small/fno.toml", options)
    out, fake = io.StringIO(), Fake(fails_at)
    result = fit(config, run_dir=tmp_path / "run", loggers={"service": fake}, console=Console(file=out, width=200))
    assert result.status == "finished" and fake.steps == steps
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6]
    warning = "logger 'service' failed and is left out (TimeoutError: the service does not answer); metrics.jsonl has every line."
    for text in (out.getvalue(), (tmp_path / "run/run.log").read_text()):
        assert text.count(warning) == 1 and text.count("TimeoutError") == 1
