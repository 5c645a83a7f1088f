"""Several operators of one kind as one: their mean, and how far they are apart."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact, Key

from neuralop_jax._typing import Field, Fields, OutputField, OutputFields, Params, Points, PRNGKey, QueryPoints
from neuralop_jax.errors import ConfigError
from neuralop_jax.models._base import AbstractOperator
from neuralop_jax.models._resolution import ResolutionClaim


class Ensemble(AbstractOperator):
    r"""The mean $\frac1M\sum_m G_m(u)$ of $M$ operators that differ in their weights alone; their `spread` says how sure it is.

    The members are one operator, every array of which has a leading axis, so that one program computes all. `of` builds them,
    `joined` makes them of operators that there are, `training.ensemble_step` trains them together. Save an ensemble member by
    member: `checkpoint.save_model(path, ensemble.member(0))`.

    **Arguments:**

    - `members`: the operators, with a leading axis of `size` on every array.
    - `size`: their number $M$. *Good values:* five to ten.

    **Source:** Lakshminarayanan et al. 2017, arXiv:1612.01474. Differs: members return no variance of their own.

    !!! example

        ```python
        import equinox as eqx
        import jax
        import jax.numpy as jnp
        from neuralop_jax.models import FNO, Ensemble

        build = lambda key: FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=1, key=key)
        ensemble = Ensemble.of(build, jax.random.split(jax.random.key(0), 3))
        u = jnp.ones((1, 8))
        each, mean, spread = eqx.filter_jit(lambda ensemble: (ensemble.each(u), ensemble(u), ensemble.spread(u)))(ensemble)
        assert each.shape == (3, 1, 8) and jnp.allclose(mean, each.mean(axis=0), atol=1e-6)
        assert jnp.allclose(spread, each.std(axis=0, ddof=1), atol=1e-6)
        ```
    """

    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    size: int = eqx.field(static=True)
    members: AbstractOperator

    def __init__(self, members: AbstractOperator, size: int):
        self.members, self.size = members, size
        self.in_channels, self.out_channels = members.in_channels, members.out_channels
        self.width = size * members.width  # all hidden fields are in memory at once

    @classmethod
    def of(cls, build: Callable[[PRNGKey], AbstractOperator], keys: Key[Array, " members"]) -> "Ensemble":
        """The ensemble of what `build` makes of each of some keys, by one program."""
        return cls(eqx.filter_jit(eqx.filter_vmap(build))(keys), len(keys))

    @classmethod
    def joined(cls, members: Sequence[AbstractOperator]) -> "Ensemble":
        """The ensemble of operators of the same options.

        **Raises:** `ConfigError` if there is none, or they differ in more than numbers.
        """
        if not members:
            raise ConfigError("an Ensemble needs at least one member, got none. Give it trained operators.")
        arrays, rest = zip(*(eqx.partition(member, eqx.is_array) for member in members), strict=True)
        kind = lambda part: jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), part)
        for number, member in enumerate(zip(arrays, rest, strict=True)):
            if kind(member[0]) != kind(arrays[0]) or not eqx.tree_equal(member[1], rest[0]):
                raise ConfigError(f"member {number} of an Ensemble has other options than member 0. Build all of them alike.")
        return cls(eqx.combine(jax.tree.map(lambda *leaves: jnp.stack(leaves), *arrays), rest[0]), len(members))

    @property
    def resolution(self) -> ResolutionClaim:
        """That of the members."""
        return self.members.resolution

    def member(self, number: int) -> AbstractOperator:
        """One of the operators, from 0."""
        return jax.tree.map(lambda leaf: leaf[number] if eqx.is_array(leaf) else leaf, self.members)

    def check(self, u: Any, x: Any, y: Any, p: Any, *, batched: bool) -> None:
        """As the members."""
        self.members.check(u, x, y, p, batched=batched)

    def each(self, u: Field, **arguments: Any) -> Inexact[Array, "members out_channels *out_space"]:
        """The output of every member; arguments as in a call."""
        self.check(u, arguments.get("x"), arguments.get("y"), arguments.get("p"), batched=False)
        key = arguments.pop("key", None)
        keys = None if key is None else jax.random.split(key, self.size)
        return eqx.filter_vmap(lambda member, key: member(u, **arguments, key=key))(self.members, keys)

    def spread(self, u: Field, **arguments: Any) -> OutputField:
        r"""The standard deviation of the members at every point, $\sqrt{\frac{1}{M - 1}\sum_m (G_m(u) - \bar G(u))^2}$.

        **Raises:** `ConfigError` for a single member.
        """
        if self.size < 2:
            raise ConfigError("the spread of an Ensemble needs two members, got 1. Train another one with another key.")
        return jnp.std(self.each(u, **arguments), axis=0, ddof=1)

    def __call__(
        self,
        u: Field,
        *,
        x: Points | None = None,
        y: QueryPoints | None = None,
        p: Params | None = None,
        key: PRNGKey | None = None,
    ) -> OutputField:
        """The mean of the outputs of the members."""
        return jnp.mean(self.each(u, x=x, y=y, p=p, key=key), axis=0)

    def batched(
        self,
        u: Fields,
        *,
        x: Array | None = None,
        y: Array | None = None,
        p: Float[Array, "batch parameters"] | None = None,
        key: Key[Array, " batch"] | None = None,
    ) -> OutputFields:
        """The means for many inputs, each by the members' own way to compute many."""
        self.check(u, x, y, p, batched=True)
        keys = None if key is None else jax.vmap(lambda k: jax.random.split(k, self.size), out_axes=1)(key)
        outputs = eqx.filter_vmap(lambda member, keys: member.batched(u, x=x, y=y, p=p, key=keys))(self.members, keys)
        return jnp.mean(outputs, axis=0)
