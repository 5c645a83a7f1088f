"""What the first of several processes has all of them do at once, and arrays that travel between processes and to the host."""

import enum

import equinox as eqx
import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import PyTree


class Order(enum.IntEnum):
    """What the first process has all of them do; each comes with a number."""

    END = 0  # with the bytes of what ended the training, 0 if nothing did
    ADVANCE = 1  # so many steps
    PLACE = 2  # the state of the first process on all devices
    MOVE = 3  # the stream of batches, to a position of so many bytes of JSON
    OPERATOR = 4  # gather the operator
    STATE = 5  # gather the whole state


def send(order: Order, number: int = 0) -> None:
    """Gives an order to the other processes, which wait for it in `receive`."""
    multihost_utils.broadcast_one_to_all(np.asarray([order, number], np.int32))


def receive() -> tuple[int, int]:
    """The next order, and its number."""
    order, number = multihost_utils.broadcast_one_to_all(np.zeros(2, np.int32))
    return int(order), int(number)


def send_text(order: Order, text: str) -> None:
    """Gives an order with the number of bytes of a text, and then the text."""
    content = np.frombuffer(text.encode(), np.uint8)
    send(order, len(content))
    if len(content):
        from_first(content)


def receive_text(length: int) -> str:
    """The text of so many bytes that came with an order."""
    return from_first(np.zeros(length, np.uint8)).tobytes().decode() if length else ""


def from_first(tree: PyTree) -> PyTree:
    """The arrays of the first process; all have trees of the same form."""
    arrays, rest = eqx.partition(tree, eqx.is_array)
    return eqx.combine(multihost_utils.broadcast_one_to_all(jax.tree.map(np.asarray, arrays)), rest)


def on_host(tree: PyTree, order: Order) -> PyTree:
    """`tree` with NumPy arrays in place of those that several devices hold; on one device, the tree as it is.

    What is cut up among processes is gathered by all of them at once: the first gives `order`, on which the others call this too.
    """
    arrays, rest = eqx.partition(tree, eqx.is_array)
    shared = lambda leaf: isinstance(leaf, jax.Array) and len(leaf.sharding.device_set) > 1
    apart = lambda leaf: shared(leaf) and not leaf.is_fully_replicated and not leaf.is_fully_addressable
    if jax.process_index() == 0 and any(map(apart, jax.tree.leaves(arrays))):
        send(order)

    def gather(leaf: jax.Array | np.ndarray) -> jax.Array | np.ndarray:
        if apart(leaf):
            return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))
        return np.asarray(leaf) if shared(leaf) else leaf

    return eqx.combine(jax.tree.map(gather, arrays), rest)
