"""Several trainings by one compiled program: those that differ in nothing but their seed and numbers of the optimizer."""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from rich.console import Console

from neuralop_jax import models
from neuralop_jax._spared_output import spared
from neuralop_jax._typing import PRNGKey
from neuralop_jax.config import ExperimentConfig, config_sha256
from neuralop_jax.data import DeviceData
from neuralop_jax.errors import ConfigError
from neuralop_jax.training._display import plain_console
from neuralop_jax.training._divergence import retried
from neuralop_jax.training._fit import FitResult, Training, go_on, training_of
from neuralop_jax.training._interval import DeviceInterval, History, compiled
from neuralop_jax.training._loop import Answer, Asked, Loop, made
from neuralop_jax.training._optimizers import make_optimizer
from neuralop_jax.training._setup import build_step, choose_micro_batch
from neuralop_jax.training._setup_checks import solves_equations
from neuralop_jax.training._state import TrainState
from neuralop_jax.training._stopping import StopRequest


def fit_together(
    runs: Mapping[Path, ExperimentConfig],
    *,
    stop: StopRequest | None = None,
    console: Console | None = None,
    commands: Mapping[Path, str] | None = None,
) -> dict[Path, FitResult | Exception]:
    r"""Trains several members at once, each into a run directory of its own, as `fit` would one after the other.

    Their states are stacked and the step is mapped over them by `jax.vmap`: every member has the batches, the noise and, up to
    round-off, the weights that it would have alone. What becomes of one, such as an early stop or a divergence, leaves the others
    alone. A run that is there is resumed; members may stand at different steps.

    Members must be `alike`. Where the training split is not in device memory, or the operator solves equations in loops that all
    members would wait for, they are trained one after the other, and the console says so.

    **Arguments:**

    - `runs`: the configuration for each run directory.
    - `stop`: as in `fit`; members that have not begun then stay so.
    - `console`: where a line per interval is shown.
    - `commands`: by run directory, as `command` in `fit`.

    **Returns:** for each run directory what `fit` returns, or the exception that it raises; none for members that did not begin.
    Seconds of training are the member's part of those that the program took.

    **Raises:** `ConfigError` for members that are not alike.

    !!! example

        ```python
        from pathlib import Path

        from neuralop_jax.config import load_config
        from neuralop_jax.training import alike, fit_together

        members = [load_config("configs/darcy_small/fno.toml", ["--seed", str(seed)]) for seed in (0, 1)]
        assert alike(members[0]) == alike(members[1])

        def train(folder: Path):
            return fit_together({folder / f"seed_{config.seed}": config for config in members})
        ```
    """
    stop, commands = stop or StopRequest(), commands or {}
    console = spared(console or plain_console(), warn=lambda line: None)
    if len({alike(config) for config in runs.values()}) > 1:
        raise ConfigError("members of fit_together may differ in seed, learning rate and weight decay alone. Train them apart.")
    outcomes: dict[Path, FitResult | Exception] = {}
    asked: dict[Path, Asked] = {}
    program, said = None, len(runs) == 1
    with contextlib.ExitStack() as stack:
        trainings: dict[Path, Training] = {}

        def advance(run: Path, act: Callable[[], Asked]) -> None:
            asked.pop(run, None)
            try:
                asked[run] = act()
            except StopIteration as end:
                outcomes[run] = end.value
            except Exception as error:
                outcomes[run] = error

        for run, config in runs.items():
            if stop.requested:
                break
            shown = console if len(runs) == 1 else Console(quiet=True)
            resume = (run / "config.json").exists()
            options = {"run_dir": run, "resume": resume, "stop": stop, "console": shown, "command": commands.get(run, "")}
            trainings[run] = stack.enter_context(contextlib.closing(training_of(config, **options)))
            advance(run, functools.partial(next, trainings[run]))
            if run not in asked:
                continue
            reason = apart(asked[run][0]) if len(runs) > 1 else ""
            if reason and not said:
                console.print(f"{len(runs)} runs are trained one after the other: {reason}.")
                said = True
            while run in asked and (reason or len(runs) == 1):
                advance(run, functools.partial(go_on, trainings[run], functools.partial(made, *asked[run])))
            if run in asked:
                program = program or MembersProgram(asked[run][0])
                asked[run][0].experiment.interval.data = program.data  # pyright: ignore[reportAttributeAccessIssue]
        while asked and program is not None:
            length = min(wanted for _, wanted in asked.values())
            members = {run: loop for run, (loop, wanted) in asked.items() if wanted == length}
            try:
                answers = dict(zip(members, program(list(members.values()), length), strict=True))
            except Exception as error:
                answers = dict.fromkeys(members, error)
            for run, answer in answers.items():
                advance(run, functools.partial(go_on, trainings[run], functools.partial(_given, answer)))
            console.print(_progress(list(members.values())))
    return {run: outcomes[run] for run in runs if run in outcomes}


def alike(config: ExperimentConfig) -> str:
    """A text that configurations share exactly if one program can train them: seed and numbers of the optimizer may differ."""
    optimizer = dataclasses.replace(config.optimizer, learning_rate=1.0, weight_decay=0.0)
    return config_sha256(dataclasses.replace(config, optimizer=optimizer, seed=0))


def apart(loop: Loop) -> str:
    """Why a training cannot be a member; empty if it can."""
    interval = loop.experiment.interval
    if not isinstance(interval, DeviceInterval):
        return "their samples are read from the disk, batch by batch"
    if interval.mesh is not None:
        return "each takes all devices of [mesh]"
    if loop.config.training.nonfinite == "rollback":
        return "each may go back by itself (training.nonfinite 'rollback')"
    if solver := solves_equations(loop.experiment.operator):
        return f"all would wait for the slowest loop of {solver}"
    return ""


class MembersProgram:
    """Intervals of several members at once; one program is compiled for each number of members and of steps.

    **Arguments:**

    - `first`: the loop of a member, whose `data` all use.
    """

    def __init__(self, first: Loop):
        self.data: DeviceData = _device_interval(first).data
        self._programs: dict[tuple[int, int], Callable[..., Any]] = {}

    def __call__(self, loops: Sequence[Loop], num_steps: int) -> list[tuple[History, float]]:
        """Advances the states of some members; the history of each, and its part of the seconds that were taken."""
        start, size = time.perf_counter(), len(loops)
        states, rests = zip(*(eqx.partition(loop.state, eqx.is_array) for loop in loops), strict=True)
        numbers = tuple(map(_numbers, loops))
        if (size, num_steps) not in self._programs:
            function = _advance_all(loops[0], rests[0], size, num_steps)
            self._programs[size, num_steps], seconds = compiled(function, states, numbers, self.data)
            for loop in loops:
                _device_interval(loop).compile_seconds += seconds / size
        states, histories = self._programs[size, num_steps](states, numbers, self.data)
        for loop, arrays, rest in zip(loops, states, rests, strict=True):
            loop.state = eqx.combine(arrays, rest)
        jax.block_until_ready(histories)
        return [(history, (time.perf_counter() - start) / size) for history in histories]


class _Numbers(eqx.Module):
    """What members differ in, beside their states."""

    data_key: PRNGKey
    noise_key: PRNGKey
    learning_rate: Float[Array, ""]
    weight_decay: Float[Array, ""]


def _numbers(loop: Loop) -> _Numbers:
    interval, optimizer = _device_interval(loop), retried(loop.config, loop.progress.rollbacks).optimizer
    kind = jnp.result_type(*jax.tree.leaves(eqx.filter(loop.state.model, models.trainable(loop.state.model))))
    rate, decay = (jnp.asarray(number, kind) for number in (optimizer.learning_rate, optimizer.weight_decay))
    return _Numbers(interval.data_key, interval.noise_key, rate, decay)


def _advance_all(loop: Loop, static: TrainState, size: int, num_steps: int) -> Callable[..., tuple[Any, Any]]:
    """`advance(states, numbers, data)`: `num_steps` steps of each member, as those of the given loop but for its numbers."""
    config, experiment = loop.config, loop.experiment
    operator, grid, interval = experiment.operator, experiment.train.grid, _device_interval(loop)
    portion = choose_micro_batch(config, operator, grid, config.data.batch_size, members=size)

    def advance(states: Sequence[TrainState], numbers: Sequence[_Numbers], data: DeviceData) -> tuple[Any, Any]:
        def one(arrays: TrainState, own: _Numbers) -> tuple[TrainState, History]:
            rates = {"learning_rate": own.learning_rate, "weight_decay": own.weight_decay}
            optimizer = make_optimizer(config.optimizer, config.training.steps, **rates)
            step = build_step(config, operator, grid, optimizer, portion)
            member = dataclasses.replace(interval, step=step, data_key=own.data_key, noise_key=own.noise_key)
            return member.function(static, num_steps)(arrays, data)

        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *zip(states, numbers, strict=True))
        together = jax.vmap(one)(*stacked)
        members = [jax.tree.map(lambda leaf, m=m: leaf[m], together) for m in range(size)]
        return tuple(state for state, _ in members), tuple(history for _, history in members)

    return advance


def _device_interval(loop: Loop) -> DeviceInterval:
    interval = loop.experiment.interval
    assert isinstance(interval, DeviceInterval)
    return interval


def _given(answer: tuple[History, float] | Exception) -> Answer:
    """The answer to a member, as if it had just taken its part of the seconds."""
    if isinstance(answer, Exception):
        raise answer
    history, seconds = answer
    return history, time.perf_counter() - seconds


def _progress(loops: Sequence[Loop]) -> str:
    steps = ", ".join(map(str, sorted({loop.progress.step for loop in loops})))
    return f"step {steps}/{loops[0].config.training.steps}  {len(loops)} runs together"
