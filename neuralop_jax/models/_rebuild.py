"""An operator's class with the options of the operator and some of them changed."""

import inspect
from typing import Any, TypeVar

import equinox as eqx
import jax

from neuralop_jax.models._base import AbstractOperator

Operator = TypeVar("Operator", bound=AbstractOperator)


def skeleton(model: Operator, **changes: Any) -> Operator:
    """What the class of `model` builds from the options of `model` with `changes`: shapes in place of arrays."""
    names = [name for name in inspect.signature(type(model).__init__).parameters if name not in ("self", "key")]
    options = {name: getattr(model, name) for name in names} | changes
    return eqx.filter_eval_shape(type(model), **options, key=jax.random.key(0))


def rebuilt(model: Operator, **changes: Any) -> Operator:
    """The same operator, same arrays, with other options; they must need arrays in the same places."""
    return jax.tree.unflatten(jax.tree.structure(skeleton(model, **changes)), jax.tree.leaves(model))
