import time

import jax
import jax.numpy as jnp

from neuralop_jax.evaluation import Timing, machine, time_call, time_in_turn, usable_cores


def test_rivals_are_asked_in_turn_in_reversing_order():
    asked = []

    def rival(name, seconds):
        return lambda: asked.append(name) or seconds

    taken = time_in_turn({"a": rival("a", 1.0), "b": rival("b", 3.0)}, rounds=3)
    assert asked == ["b", "a", "a", "b", "b", "a", "a", "b"]
    assert taken == {"a": Timing((1.0,) * 3), "b": Timing((3.0,) * 3)}


def test_the_first_round_does_not_count():
    answers = iter([100.0, 1.0, 2.0])
    assert time_in_turn({"a": lambda: next(answers)}, rounds=2)["a"].seconds == (1.0, 2.0)


def test_summary_of_a_timing():
    timing = Timing((5.0, 1.0, 2.0))
    assert timing.median == 2.0
    assert timing.spread() == {"min": 1.0, "max": 5.0}


def test_time_call_calls_twice_and_times_the_second():
    pauses = iter([0.2, 0.0])
    calls = []

    def call():
        calls.append(time.sleep(next(pauses)))
        return jnp.zeros(3)

    assert 0 <= time_call(call)
    assert len(calls) == 2


def test_machine_states_what_the_timing_ran_on():
    said = machine()
    assert said["cores"] == usable_cores() >= 1
    assert said["load"] is None or said["load"] >= 0
    assert said["platform"] == jax.default_backend()
    assert said["versions"]["jax"] == jax.__version__
