"""Fair timing of rivals on one machine: taken in turn, so that drift of the machine hits all of them alike."""

import dataclasses
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

_PAUSE = 0.02
"""Seconds of rest between two rivals, in which the idle threads of the one stop spinning."""


@dataclasses.dataclass(frozen=True)
class Timing:
    """The seconds that each of several equal calls took.

    !!! example

        ```python
        from neuralop_jax.evaluation import Timing

        assert Timing((3.0, 1.0, 2.0)).median == 2.0
        ```
    """

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one: a call disturbed by another program does not move it."""
        return statistics.median(self.seconds)

    def spread(self) -> dict[str, float]:
        """The fastest and the slowest call."""
        return {"min": min(self.seconds), "max": max(self.seconds)}


def time_call(call: Callable[[], Any], count: int = 1) -> float:
    """The mean seconds of `count` calls in a row, each until its result is there, after one call that is not timed.

    **Arguments:**

    - `call`: computes a pytree of JAX arrays; compiled by an earlier call, or its compilation falls into the untimed one.
    - `count`: *Good values*: so many that they take tens of milliseconds, or what wakes the cores is measured too.

    **Returns:** wall-clock seconds.
    """
    jax.block_until_ready(call())
    start = time.perf_counter()
    for _ in range(count):
        jax.block_until_ready(call())
    return (time.perf_counter() - start) / count


def time_in_turn(rivals: Mapping[str, Callable[[], float]], *, rounds: int = 9) -> dict[str, Timing]:
    """Asks each rival for the seconds of one call, all of them in every round, in an order that reverses from round to round.

    **Arguments:**

    - `rivals`: by name, a function that makes one call and returns its seconds, for instance by `time_call`.
    - `rounds`: timed calls per rival, after one round that is not counted. *Good values*: 9, as a median needs.

    **Returns:** the timings by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for turn in range(rounds + 1):
        for name in list(rivals)[:: 1 if turn % 2 else -1]:
            time.sleep(_PAUSE)
            taken = rivals[name]()
            if turn > 0:
                seconds[name].append(taken)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


def usable_cores() -> int:
    """The CPU cores that this process may run on: where the system pins it to some, fewer than the machine has.

    !!! example

        ```python
        import os
        from neuralop_jax.evaluation import usable_cores

        assert 1 <= usable_cores() <= (os.cpu_count() or 1)
        ```
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def resident_bytes() -> int:
    """The bytes of memory that this process holds now, its program and libraries among them; 0 where the system does not tell.

    Memory counts once it is written to, and no longer counts once it is given back to the system.

    !!! example

        ```python
        import numpy as np
        from neuralop_jax.evaluation import resident_bytes

        before = resident_bytes()
        held = np.ones(8_000_000)  # 64 MB
        assert before == 0 or resident_bytes() - before > 0.9 * held.nbytes
        ```
    """
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def machine() -> dict[str, Any]:
    """What a timing must be read with: processor, cores, device, versions, and how many programs were already running."""
    device = jax.devices()[0]
    return {
        "processor": _processor(),
        "cores": usable_cores(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "platform": device.platform,
        "device": device.device_kind,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version(), "jax": jax.__version__},
    }


def _processor() -> str:
    """The name of the processor, from where the system keeps it."""
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
