"""The arrays of a module by name, and the way back."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import equinox as eqx
import jax

from neuralop_jax._checkpoint_store import path_name

Module = TypeVar("Module", bound=eqx.Module)


def named_arrays(module: Module) -> tuple[dict[str, Any], Callable[[Mapping[str, Any]], Module]]:
    """The arrays of `module` by their paths, as in checkpoints, and a function from such arrays to the module that has them.

    Of a module from `eqx.filter_eval_shape` they are shapes and types.
    """
    is_leaf = lambda leaf: eqx.is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)
    arrays, rest = eqx.partition(module, is_leaf)
    leaves, structure = jax.tree_util.tree_flatten_with_path(arrays)
    named = {path_name(path): leaf for path, leaf in leaves}

    def rebuild(arrays: Mapping[str, Any]) -> Module:
        return eqx.combine(jax.tree_util.tree_unflatten(structure, [arrays[name] for name in named]), rest)

    return named, rebuild
