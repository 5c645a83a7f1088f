"""Several processes that train together: the first one decides and writes, the others compute what it says."""

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from neuralop_jax.config import ExperimentConfig
from neuralop_jax.errors import ProcessError
from neuralop_jax.training._agreement import DEVICE_ERRORS, first_of_all, is_own, lost, prepared_by_all, told
from neuralop_jax.training._interval import History, Interval
from neuralop_jax.training._orders import Order, from_first, on_host, receive, receive_text, send, send_text
from neuralop_jax.training._setup import Experiment, prepare
from neuralop_jax.training._state import TrainState
from neuralop_jax.training._stopping import StopRequest


class LeadingInterval:
    """The interval of the first process: whatever it does, it has the other processes do as well.

    **Arguments:**

    - `interval`: its own.
    - `stop`: made a request as soon as any process was asked to stop.

    **Attributes:** `in_step`, whether the others have done what they were told to, and wait: false after an error in between.
    """

    def __init__(self, interval: Interval, stop: StopRequest):
        self._interval, self._stop = interval, stop
        self.in_step = True

    def __call__(self, state: TrainState, num_steps: int) -> tuple[TrainState, History]:
        """As of the interval inside, on the devices of all processes."""
        mesh = self._interval.mesh
        assert mesh is not None
        self.in_step = False
        if not mesh.is_here(state.step):
            send(Order.PLACE)
            state = mesh.place_state(from_first(state))
        send(Order.ADVANCE, num_steps)
        state, history = _advance(self._interval, state, num_steps, self._stop)
        self.in_step = True
        return state, history

    @property
    def compile_seconds(self) -> float:
        """Seconds that compiling took here."""
        return self._interval.compile_seconds

    def position(self) -> Any:
        """The position of the stream, the same in all processes."""
        return self._interval.position()

    def resume_at(self, position: Any) -> None:
        """Moves the streams of all processes."""
        send_text(Order.MOVE, json.dumps(position))
        self._interval.resume_at(position)

    def batch_of(self, step: int) -> tuple[dict[str, Any], None]:
        """The number of the step; its batch is nowhere as a whole."""
        return {}, None


@contextlib.contextmanager
def leading(stop: StopRequest) -> Iterator[Callable[[Interval], Interval]]:
    """Within the block the others follow this process, the first of several; at its end, however it ends, they end as well.

    Gives what makes an interval one that all processes take part in. With one process it changes nothing.

    **Raises:** `ProcessLost` in the place of what JAX raises; as the cause of any other error in the middle of what all compute,
    or if one of them is gone: they cannot be told of it, but notice when this process has ended.
    """
    if jax.process_count() == 1:
        yield lambda interval: interval
        return
    led: list[LeadingInterval] = []

    def lead(interval: Interval) -> Any:  # what has all that the loop asks of an interval
        led.append(LeadingInterval(interval, stop))
        return led[-1]

    try:
        yield lead
    except BaseException as error:
        if not is_own(error):
            raise lost(error) from error
        if not all(interval.in_step for interval in led):
            raise error from lost(error)
        with first_of_all(error):
            _end(told(error))
        raise
    _end("")


def follow(config: ExperimentConfig, *, stop: StopRequest | None = None) -> None:
    """Takes part in a training that the first process leads, and writes nothing.

    **Arguments:**

    - `config`: the same as there.
    - `stop`: a request here stops all.

    **Raises:** `ConfigError`, as all do, if the configurations or the versions of the packages differ, `DataError` if the data
    do; what `prepare` raises; `ProcessError` if another process failed before the first step, or the first one ever, with what it
    said; `ProcessLost` if one is gone, or as the cause of an error of this one in the middle of a step. Then end this process by
    `os._exit`: at a usual end JAX waits for the others, and aborts after 100 seconds.

    !!! example

        ```python
        import jax
        from neuralop_jax.training import fit, follow

        def train(config, run_dir):  # in every process, after jax.distributed.initialize()
            return fit(config, run_dir=run_dir) if jax.process_index() == 0 else follow(config)
        ```
    """
    stop = stop or StopRequest()
    with prepared_by_all(config) as read:
        experiment = prepare(config)
        read |= experiment.fingerprints()
        state = experiment.initial()
    try:
        _obey(experiment, state, stop)
    except ProcessError:
        raise
    except Exception as error:
        if is_own(error):
            raise error from lost(error)
        raise lost(error) from error


def _obey(experiment: Experiment, state: TrainState, stop: StopRequest) -> None:
    """Does what the first process orders, until it ends the training."""
    interval, mesh = experiment.interval, experiment.interval.mesh
    assert mesh is not None
    while True:
        order, number = receive()
        match order:
            case Order.ADVANCE:
                state, _ = _advance(interval, state, number, stop)
            case Order.PLACE:
                state = mesh.place_state(from_first(experiment.initial()))
            case Order.MOVE:
                interval.resume_at(json.loads(receive_text(number)))
            case Order.OPERATOR:
                state.operator()
            case Order.STATE:
                on_host(state, Order.STATE)
            case _:
                if said := receive_text(number):
                    raise ProcessError(f"process 0 of {jax.process_count()} failed: {said}")
                return


def _end(text: str) -> None:
    """Tells the others that the training has ended, and by which error."""
    try:
        send_text(Order.END, text)
    except DEVICE_ERRORS as error:
        raise lost(error) from error


def _advance(interval: Interval, state: TrainState, num_steps: int, stop: StopRequest) -> tuple[TrainState, History]:
    """Some steps, and then an agreement on whether to stop."""
    state, history = interval(state, num_steps)
    if multihost_utils.process_allgather(np.asarray(stop.requested)).any():
        stop.request()
    return state, history
