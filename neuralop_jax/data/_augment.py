"""Symmetries of an equation as random maps of one pair (input function, target function)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuralop_jax._checks import one_of
from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError

AUGMENTATIONS = ("transpose", "reflect")

Input = Float[Array, "input_channels *input_space"]
Target = Float[Array, "target_channels *target_space"]


def transpose(u: Input, target: Target, *, key: PRNGKey) -> tuple[Input, Target]:
    r"""Exchanges the two space axes of both fields with probability 1/2: $(u, v)(x, y) \mapsto (u, v)(y, x)$.

    A true symmetry where the equation, the domain and the boundary conditions treat both axes alike and the fields are scalars:
    $-\nabla \cdot (a \nabla v) = f$ on a square with a constant or symmetric source $f$, the heat and the wave equation, the
    vorticity of an unforced flow up to its sign (which this does not change: do not use it there). Components of a vector would
    have to change places too. It holds exactly for the bundled Darcy set: both axes have the same points, so the transposed
    samples are those of the transposed coefficient.

    **Arguments:**

    - `u`, `target`: one sample each, `(channels, n, n)`.
    - `key`: decides whether to transpose.

    **Returns:** the pair, both fields transposed or neither.

    **Raises:** `ConfigError` unless there are two space axes of equal length.
    """
    for name, field in (("input", u), ("target", target)):
        if field.ndim != 3 or field.shape[1] != field.shape[2]:
            raise ConfigError(
                f"data.augment 'transpose' needs square fields (channels, n, n), the {name} has shape {field.shape}. "
                "Leave 'transpose' out of data.augment."
            )
    chosen = jax.random.bernoulli(key)
    return jnp.where(chosen, u.mT, u), jnp.where(chosen, target.mT, target)


def reflect(u: Input, target: Target, *, key: PRNGKey) -> tuple[Input, Target]:
    r"""Reverses each space axis of both fields with probability 1/2 of its own: $(u, v)(x) \mapsto (u, v)(b + a - x)$.

    A true symmetry of equations with even derivatives of scalars only (diffusion, Poisson, Darcy, Helmholtz, wave) when the grid
    is its own mirror image: it includes both ends, or it is periodic and the equation does not depend on the place. Velocities
    change sign under it ($v(x) \mapsto -v(-x)$ in the Burgers equation), which this does not do.

    It is *not exact* for the bundled Darcy set: its grid holds the boundary at $x = 0$ but stops one spacing before $x = 1$, so a
    reversed field has its zero boundary values at the wrong end, where no sample has them.

    **Arguments:**

    - `u`, `target`: one sample each, `(channels, *space)`, with equally many space axes.
    - `key`: decides for each axis.

    **Returns:** the pair, both fields reversed along the same axes.

    **Raises:** `ConfigError` if the numbers of space axes differ.
    """
    if u.ndim != target.ndim:
        raise ConfigError(
            f"data.augment 'reflect' needs fields on grids of equal dimension, got shapes {u.shape} and {target.shape}. "
            "Leave 'reflect' out of data.augment."
        )
    for axis, chosen in enumerate(jax.random.bernoulli(key, shape=(u.ndim - 1,)), start=1):
        u, target = (jnp.where(chosen, jnp.flip(field, axis), field) for field in (u, target))
    return u, target


def augment(names: Sequence[str], u: Input, target: Target, *, key: PRNGKey) -> tuple[Input, Target]:
    """Applies the named symmetries one after the other to one sample, each by its own chance.

    **Arguments:**

    - `names`: any of `"transpose"`, `"reflect"`.
    - `u`, `target`: one sample each, `(channels, *space)`; map a batch with `jax.vmap` over the fields and one key per sample.
    - `key`: the random key.

    **Returns:** the pair.

    **Raises:** `ConfigError` for an unknown name, or as the symmetries do.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp

        from neuralop_jax.data import augment

        u = target = jnp.arange(9.0).reshape(1, 3, 3)
        u, target = augment(("transpose",), u, target, key=jax.random.key(0))
        assert (u == target).all()
        ```
    """
    functions = {"transpose": transpose, "reflect": reflect}
    for index, name in enumerate(names):
        one_of("data.augment", name, AUGMENTATIONS, ConfigError)
        u, target = functions[name](u, target, key=jax.random.fold_in(key, index))
    return u, target
