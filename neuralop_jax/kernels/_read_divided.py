"""Any points of a divided axis on any device, each point sent only where it is read."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Shaped

from neuralop_jax.kernels._space import SPACE, own_part, space_size


def read_divided(u: Shaped[Array, "..."], axis: int, tables: np.ndarray) -> Shaped[Array, "..."]:
    """The points of the whole divided `axis` of $N$ points, of which `u` is the block here, that this device's table names.

    A device gets from the one $k$ before it, in one message for every $k$, what it reads of the block there, each point once. A
    message is as long as the longest among the devices; between devices that need nothing of each other there is none.

    **Arguments:**

    - `axis`: of `u`.
    - `tables`: `tables[d]` are the numbers of the points for device $d$, in any order; $N$ stands for zero.
    """
    devices, block = space_size(), u.shape[axis]
    owners = tables // block
    parts, held, places = [u], block, np.zeros_like(tables)
    for hop in range(devices):
        senders = (np.arange(devices) - hop) % devices
        here = owners == senders[:, None]
        if hop == 0:
            places[here] = (tables - block * np.arange(devices)[:, None])[here]
            continue
        wanted = [np.unique(row[mask]) for row, mask in zip(tables, here, strict=True)]
        longest = max(map(len, wanted))
        if longest == 0:
            continue
        sent = np.zeros((devices, longest), tables.dtype)
        for device, (sender, points) in enumerate(zip(senders, wanted, strict=True)):
            sent[sender, : len(points)] = points - block * sender
            places[device, here[device]] = held + np.searchsorted(points, tables[device, here[device]])
        pairs = [(int(sender), device) for device, sender in enumerate(senders) if len(wanted[device])]
        parts.append(jax.lax.ppermute(jnp.take(u, own_part(sent, 0)[0], axis, mode="clip"), SPACE, pairs))
        held += longest
    places[tables == devices * block] = held
    return jnp.take(jnp.concatenate(parts, axis), own_part(places, 0)[0], axis, mode="fill", fill_value=0)
