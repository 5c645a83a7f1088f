"""The checks of an array of fields, in the same words whoever makes them."""

from typing import Any

import jax.numpy as jnp

from neuralop_jax.errors import ModelInputError


def check_field(
    name: str, u: Any, channels: int, num_dims: int, *, complex_data: bool = False, batched: bool = False, fields: str = ""
) -> None:
    """Raises `ModelInputError` unless `u` is `(channels, *space)` with `num_dims` space axes, with `batched` one axis more.

    `name` is who expects it. `fields` says what the channels are to someone who has data and did not build the model.
    """
    axis = int(batched)
    plural = "axis" if num_dims == 1 else "axes"
    rank, wanted = num_dims + 1 + axis, f"({'batch, ' * axis}channels={channels}, *space) with {num_dims} space {plural}"
    if not hasattr(u, "shape"):
        raise ModelInputError(f"{name} expects an array {wanted}, got {type(u).__name__}. Use jnp.asarray(u).")
    shape, kind = tuple(u.shape), "complex" if complex_data else "real"
    if not jnp.issubdtype(u.dtype, jnp.complexfloating if complex_data else jnp.floating):
        remedy = f"Use u.astype(jnp.{'complex64' if complex_data else 'float32'})."
        if jnp.issubdtype(u.dtype, jnp.complexfloating):
            remedy = "Use u.real, if that is the field." if fields else "Build it with complex_data=True for such fields."
        raise ModelInputError(f"{name} expected a {kind} floating array, got {u.dtype}. {remedy}")
    if len(shape) != rank:
        if fields or (batched and len(shape) == rank - 1):
            remedy = _missing_axes(shape, channels, num_dims)
        elif len(shape) == rank + 1 and not batched:
            remedy = "Batch with jax.vmap(model)(u), or model.batched(u)."
        elif len(shape) == rank - 1:
            remedy = "Add the channel axis with u[None]."
        else:
            remedy = "Build the model with another num_dims."
        what = "samples" if batched else "one sample"
        raise ModelInputError(f"{name} expects {what} {wanted}, got shape {shape} of rank {len(shape)}, not {rank}. {remedy}")
    if shape[axis] != channels:
        last = f" Give those of {fields}, in this order." if fields else " Check in_channels."
        if shape[-1] == channels:
            last = f" This looks channels-last: use jnp.moveaxis(u, -1, {axis})."
        raise ModelInputError(
            f"{name} expected {channels} input channels on axis {axis}, got {shape[axis]} in shape {shape}.{last}"
        )
    if 0 in shape:
        raise ModelInputError(f"{name} expects at least one {'sample and ' * axis}point per axis, got shape {shape}.")


def _missing_axes(shape: tuple[int, ...], channels: int, num_dims: int) -> str:
    """What makes samples `(batch, channels, *space)` of an array of another rank, as far as its sizes tell."""
    if len(shape) == num_dims + 1 and shape[0] == channels:
        return "Add the batch axis with u[None]."
    if len(shape) == num_dims + 1 and channels == 1:
        return "Add the channel axis with u[:, None]."
    if len(shape) == num_dims and channels == 1:
        return "Add the axes of batch and channel with u[None, None]."
    if num_dims <= len(shape) <= num_dims + 1:
        return f"Stack the {channels} channels on the axis before those of space, and have one of samples before them."
    return f"Reshape u to {num_dims + 2} axes: samples, channels, then the {num_dims} of space."
