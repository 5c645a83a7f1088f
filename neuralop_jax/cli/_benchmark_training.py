"""The row of `benchmark training`: the time until an operator for the bundled Darcy fields has a given error."""

import dataclasses
import json
import pathlib
import tempfile
from typing import Any

import jax
import numpy as np
from rich.console import Console

from neuralop_jax import models
from neuralop_jax.cli._benchmark_rows import timed_row
from neuralop_jax.config import load_config
from neuralop_jax.errors import NeuralOpError
from neuralop_jax.evaluation import ModelPeer, Timing
from neuralop_jax.training import StopRequest, fit
from neuralop_jax.training._setup import open_split

_CONFIG, _SPLIT = "configs/darcy_small/fno.toml", "test_16"
_PEER_EPOCHS = 60


class _Reached(StopRequest):
    """A request that is made once a run has logged an error small enough."""

    def __init__(self, run: pathlib.Path, error: float):
        super().__init__()
        self._log, self._error = run / "metrics.jsonl", error

    @property
    def requested(self) -> bool:
        return self.line() is not None

    def line(self) -> dict[str, Any] | None:
        lines = map(json.loads, self._log.read_text().splitlines() if self._log.exists() else ())
        return next((line for line in lines if line.get("splits", {}).get(_SPLIT, {}).get("relative_l2", 1) <= self._error), None)


def training_row(peer: ModelPeer | None, *, error: float = 0.1, steps: int = 0) -> dict[str, Any]:
    """Seconds until the relative L2 error on `test_16` of darcy_small is at most `error`, compiling and evaluating included.

    Both sides train the network of the configuration by AdamW with its numbers on the same fields, batches and transpositions:
    here as `train` does, evaluated every 50 steps; in the peer for 60 epochs, evaluated after each.

    **Arguments:**

    - `peer`: the process of neuraloperator, or `None`.
    - `error`: to be reached.
    - `steps`: of the training here; those of the configuration if 0.

    **Raises:** `NeuralOpError` if it is not reached here, or both networks have not the same number of parameters.
    """
    config = load_config(_CONFIG, [f"--training.steps={steps}"] if steps else [])
    every = config.training.log_every
    plan = dataclasses.replace(config.training, evaluate_every=every, save_every=100 * every)
    config = dataclasses.replace(config, training=plan)
    with tempfile.TemporaryDirectory() as folder:
        run = pathlib.Path(folder) / "run"
        reached = _Reached(run, error)
        operator = fit(config, run_dir=run, stop=reached, console=Console(quiet=True)).operator
        line = reached.line()
        if line is None:
            raise NeuralOpError(f"training {_CONFIG} does not reach a relative L2 error of {error:g} on {_SPLIT}.")
        sides, more = {"ours": Timing((line["seconds"],))}, {"steps": line["step"], "missing": None}
        if peer is not None:
            file = pathlib.Path(folder) / "fields.npz"
            train, test = (open_split(config.data, name).read_all() for name in (config.data.train_split, _SPLIT))
            np.savez(file, u=train.inputs["u"], v=train.target, test_u=test.inputs["u"], test_v=test.target)
            answer = peer.ask(
                do="train",
                file=str(file),
                config=_peer_network(config.model.options),
                learning_rate=config.optimizer.learning_rate,
                weight_decay=config.optimizer.weight_decay,
                warmup_steps=config.optimizer.warmup_steps,
                batch_size=config.data.batch_size,
                epochs=_PEER_EPOCHS,
                error=error,
            )
            if answer.get("parameters", models.count_parameters(operator)) != models.count_parameters(operator):
                raise NeuralOpError(
                    f"{models.count_parameters(operator)} parameters here but {answer['parameters']} in the peer."
                )
            more |= {"missing": answer.get("missing"), "peer_steps": answer.get("steps")}
            if "seconds" in answer:
                sides["neuraloperator"] = Timing((answer["seconds"],))
    case = f"darcy_small, FNO: relative L2 {error:g} on {_SPLIT}, float{8 * np.dtype(jax.numpy.result_type(float)).itemsize}"
    return timed_row(case, "s", 1.0, sides) | more


def _peer_network(options: dict[str, Any]) -> dict[str, Any]:
    """The arguments of neuraloperator's FNO for the network of the configuration."""
    names = {"n_modes": "n_modes", "width": "hidden_channels", "depth": "n_layers", "padding": "domain_padding"}
    return {"in_channels": 1, "out_channels": 1, **{names[name]: value for name, value in options.items()}}
