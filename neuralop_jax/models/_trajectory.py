"""What operators that return the state at several times have in common."""

import abc
import math
from collections.abc import Sequence
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float, Inexact

from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError
from neuralop_jax.models._base import AbstractOperator
from neuralop_jax.models._normalized import Normalized
from neuralop_jax.models._on_grids import AbstractGridOperator
from neuralop_jax.models._options import OperatorSpec, check_sizes
from neuralop_jax.models._rebuild import rebuilt


class AbstractTrajectoryOperator(AbstractGridOperator):
    """From the state at time 0, `(in_channels, *space)`, to the states at `times`, stacked along the channels.

    Inside is an operator from states to states; how it makes a trajectory is what the classes differ in, so that one can take the
    place of the other in a configuration. To write one, define `frames`.
    """

    times: eqx.AbstractVar[tuple[float, ...]]
    inner: eqx.AbstractVar[AbstractGridOperator]

    @abc.abstractmethod
    def frames(
        self,
        u: Inexact[Array, "channels *batch_space"],
        p: Float[Array, "*batch parameters"] | None = None,
        *,
        key: PRNGKey | None = None,
    ) -> Inexact[Array, "frames channels *batch_space"]:
        """The states at `times`, for one sample or for several; arguments as for `evaluate`."""

    def evaluate(
        self,
        u: Inexact[Array, "in_channels *batch_space"],
        p: Float[Array, "*batch parameters"] | None = None,
        *,
        key: PRNGKey | None = None,
    ) -> Inexact[Array, "out_channels *batch_space"]:
        """The states at all times as channels, for one sample or for several."""
        return self.frames(u, p, key=key).reshape(self.out_channels, *u.shape[1:])

    def at_times(self, times: Sequence[float]) -> "AbstractTrajectoryOperator":
        """The same operator, with the same weights, that returns the states at other times."""
        times = tuple(float(t) for t in times)
        return rebuilt(self, times=times, out_channels=max(1, len(times)) * self.in_channels)

    @property
    def operator(self) -> dict[str, Any]:
        """The specification of the operator inside, without its channels."""
        from neuralop_jax.models import registry

        return registry.inner_spec(self.inner)

    @property
    def width(self) -> int:
        """Hidden channels of the operator inside."""
        return self.inner.width

    @property
    def num_parameters(self) -> int:
        """Parameters `p` that the operator inside reads."""
        return getattr(self.inner, "num_parameters", 0)


def at_times(operator: AbstractOperator, times: Sequence[float]) -> AbstractOperator:
    """A trajectory operator, also one in physical units, with the same weights and other times.

    **Raises:** `ConfigError` for an operator that makes no trajectories.
    """
    model = operator.model if isinstance(operator, Normalized) else operator
    if not isinstance(model, AbstractTrajectoryOperator):
        raise ConfigError(
            f"{type(model).__name__} returns what it was trained on, not states at any times. Train an Autoregressive or "
            "ContinuousTime operator."
        )
    other = model.at_times(times)
    return Normalized(other, operator.input, operator.input.repeated(len(times))) if isinstance(operator, Normalized) else other


def on_times(operator: AbstractOperator, times: Sequence[float]) -> AbstractOperator:
    """An operator that is compared with frames at `times`: a trajectory operator takes them, another one stays as it is.

    !!! example

        ```python
        import jax
        from neuralop_jax.models import FNO, on_times

        model = FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=1, key=jax.random.key(0))
        assert on_times(model, (0.5, 1.0)) is model
        ```
    """
    model = operator.model if isinstance(operator, Normalized) else operator
    if not isinstance(model, AbstractTrajectoryOperator) or not times or same_times(model.times, times):
        return operator
    return at_times(operator, times)


def same_times(some: Sequence[float], others: Sequence[float]) -> bool:
    """Whether the times agree to six digits.

    !!! example

        ```python
        from neuralop_jax.models import same_times

        assert same_times((0.1, 0.3), (0.1, 0.1 + 0.2)) and not same_times((0.1,), (0.1, 0.3))
        ```
    """
    return len(some) == len(others) and all(
        math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-12) for a, b in zip(some, others, strict=True)
    )


def build_step(operator: OperatorSpec, channels: int, num_dims: int | None, *, key: PRNGKey) -> AbstractGridOperator:
    """The operator from states to states inside a trajectory operator.

    **Raises:** `ConfigError` unless it maps real fields on a grid to such fields.
    """
    from neuralop_jax.models import registry

    inner = registry.build_inner("operator", operator, in_channels=channels, out_channels=channels, num_dims=num_dims, key=key)
    if not isinstance(inner, AbstractGridOperator):
        raise ConfigError(f"operator {operator['kind']!r} does not map grids to grids. Use one that does, such as 'fno'.")
    if num_dims not in (None, inner.num_dims):
        raise ConfigError(f"operator has {inner.num_dims} space axes, num_dims is {num_dims}. Leave one of them out.")
    if getattr(inner, "complex_data", False):
        raise ConfigError("operator has complex_data=True; states are real fields. Split them into two channels.")
    return inner


def check_times(times: Sequence[int | float], in_channels: int, out_channels: int) -> tuple[float, ...]:
    """The times as floats.

    **Raises:** `ConfigError` unless they are finite, not negative and increasing, and the channels are those of so many states.
    """
    check_sizes(in_channels=in_channels, out_channels=out_channels)
    if not isinstance(times, Sequence) or not times:
        raise ConfigError(f"times must be a list of at least one time, got {times!r}.")
    found = tuple(float(t) for t in times)
    if not all(math.isfinite(t) for t in found) or found[0] < 0 or any(b <= a for a, b in zip(found, found[1:], strict=False)):
        raise ConfigError(f"times must increase, from 0 or later, got {list(found)}. Sort them and leave repeated ones out.")
    if found[-1] == 0:
        raise ConfigError("times must go beyond 0, the time of the input, got [0.0]. Add a later one.")
    if out_channels != len(found) * in_channels:
        raise ConfigError(
            f"out_channels must be those of the states at {len(found)} times, {len(found)} x {in_channels}, got {out_channels}. "
            "Take the same fields as input and target, one frame of them as input."
        )
    return found


def check_kept(before: tuple[int, ...], after: tuple[int, ...]) -> None:
    """Raises `ConfigError` unless the operator inside keeps the shape of a state."""
    if before != after:
        raise ConfigError(
            f"the operator inside made {after} of a state {before}. Use one that keeps the grid, without output_scaling."
        )
