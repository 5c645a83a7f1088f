"""Where the time of a training goes: useful steps, compilation, checkpoints, evaluation, and work that was lost."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator


@dataclasses.dataclass
class Goodput:
    """Seconds of a training, over all its interruptions, by what they were spent on.

    - `steps`: steps that lead to the result.
    - `compile`, `save`, `evaluate`: programs, checkpoints, held-out errors and calibration.
    - `lost`: what was done again after a kill or a rollback, as far as it was logged.
    """

    steps: float = 0.0
    compile: float = 0.0
    save: float = 0.0
    evaluate: float = 0.0
    lost: float = 0.0

    @property
    def seconds(self) -> float:
        """Seconds of training: steps, compilation and evaluation; without checkpoints and lost work."""
        return self.steps + self.compile + self.evaluate

    @property
    def fraction(self) -> float:
        """The goodput: seconds of useful steps per second of all; 1 before anything was done."""
        whole = self.seconds + self.save + self.lost
        return self.steps / whole if whole else 1.0

    @contextlib.contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Adds the time of the block to the seconds of `name`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, name, getattr(self, name) + time.perf_counter() - start)

    def go_back(self, earlier: "Goodput") -> None:
        """The steps made since `earlier` were lost."""
        self.lost += self.steps - earlier.steps
        self.steps = earlier.steps

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {value:.1f}" for name, value in dataclasses.asdict(self).items())
        return f"goodput {100 * self.fraction:.1f} % (seconds: {parts})"
