"""Which steps of a training are made: those with a finite loss and gradient, and with a gradient of usual size."""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

_DECAY = 0.98
_SETTLED = 20  # accepted steps before the mean norm is believed


class Guard(eqx.Module):
    r"""What a training remembers of the steps it skipped, and of the usual size of its gradients.

    - `in_a_row`: steps skipped since the last one that was made.
    - `skipped`: steps skipped in all.
    - `mean_norm`: $\sum_i (1-d) d^{t-i} |g_i|$ over the steps $i \le t$ that were made, $d = 0.98$.
    """

    in_a_row: Int[Array, ""]
    skipped: Int[Array, ""]
    mean_norm: Float[Array, ""]

    @classmethod
    def create(cls) -> "Guard":
        """Nothing skipped, no gradient seen."""
        return cls(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32), jnp.zeros((), jnp.float32))

    def usual_norm(self, made: Int[Array, ""]) -> Float[Array, ""]:
        r"""The mean $\bar g_t$ of `GuardRule` after so many steps that were made, 0 before the first."""
        return self.mean_norm / -jnp.expm1(jnp.maximum(made, 1) * jnp.log(_DECAY)).astype(jnp.float32)


@dataclasses.dataclass(frozen=True)
class GuardRule:
    r"""Decides on every step, inside the compiled program, whether it is made, skipped, or ends the training.

    A step is *bad* if its loss or the norm of its gradient is not finite, or if this norm exceeds `spike_factor` times the mean
    of the norms so far, $\bar g_t = \frac{1-d}{1-d^t} \sum_{i \le t} d^{t-i} |g_i|$ with $d = 0.98$, once twenty steps were made.
    A bad step that may be skipped counts as a step and changes nothing else. One that may not be skipped changes nothing at all:
    the training is held at it.

    **Arguments:**

    - `skips_nonfinite`: whether steps that are not finite may be skipped.
    - `spike_factor`: the factor of the mean norm; 0 calls no finite step bad. *Good values*: 10 to 100.
    - `max_in_a_row`, `max_skips`: steps that may be skipped in succession and in all. Where the gradients stay large, the first
        one ends the training, so that none hangs in a place from which it would not come back.

    **Source:** our own, in the manner of the loss-spike rules of large language models (Chowdhery et al. 2022, arXiv:2204.02311,
    section 5.1, which skip the batches around a spike).

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.training import Guard, GuardRule

        rule, guard = GuardRule(skips_nonfinite=True), Guard.create()
        made, skipped, guard = rule.judge(guard, jnp.asarray(0), jnp.asarray(jnp.nan), jnp.asarray(1.0))
        assert not made and skipped and guard.skipped == 1
        ```
    """

    skips_nonfinite: bool = False
    spike_factor: float = 0.0
    max_in_a_row: int = 10
    max_skips: int = 100

    def judge(
        self, guard: Guard, step: Int[Array, ""], loss: Float[Array, ""], norm: Float[Array, ""]
    ) -> tuple[Bool[Array, ""], Bool[Array, ""], Guard]:
        """Whether the step that follows `step` others is made, whether it is skipped (else it is held), and the new memory."""
        finite, made = jnp.isfinite(loss) & jnp.isfinite(norm), step - guard.skipped
        norm = norm.astype(jnp.float32)
        is_large = norm > self.spike_factor * guard.usual_norm(made)
        spike = finite & (made >= _SETTLED) & is_large if self.spike_factor else jnp.zeros((), bool)
        good = finite & ~spike
        may_skip = (guard.in_a_row < self.max_in_a_row) & (guard.skipped < self.max_skips)
        skipped = (~good if self.skips_nonfinite else spike) & may_skip
        one = skipped.astype(jnp.int32)
        mean_norm = jnp.where(good, _DECAY * guard.mean_norm + (1 - _DECAY) * norm, guard.mean_norm)
        return good, skipped, Guard(jnp.where(good, 0, guard.in_a_row + one), guard.skipped + one, mean_norm)
