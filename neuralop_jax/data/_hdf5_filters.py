"""What HDF5 does to a chunk before it stores it, undone: checksums, compression, the order of bytes."""

import zlib
from collections.abc import Sequence

import numpy as np

DEFLATE, SHUFFLE, FLETCHER32, LZF = 1, 2, 3, 32000
FILTERS = {DEFLATE, SHUFFLE, FLETCHER32, LZF}
"""The filters that are known here; HDF5 would load a plug-in for any other, which is code."""

_MODULUS = 65535
_COLUMNS, _ROWS = 1024, 64
_WEIGHTS = np.stack([np.ones(_COLUMNS), np.arange(_COLUMNS, dtype=np.float64)], axis=1)


def decode(stored: bytes, filters: Sequence[tuple[int, Sequence[int]]], mask: int, size: int) -> np.ndarray:
    """The `size` bytes of a chunk from those that are stored.

    **Arguments:**

    - `stored`: what is in the file.
    - `filters`: the code and the parameters of each filter, in the order in which they were applied.
    - `mask`: has the bit `i` set if the filter `i` was left out for this chunk.
    - `size`: how many bytes a chunk has.

    **Raises:** `ValueError` if a checksum differs, or the bytes are not as many.
    """
    for number in reversed(range(len(filters))):
        code, parameters = filters[number]
        if mask >> number & 1:
            continue
        if code == FLETCHER32:
            check_fletcher32(np.frombuffer(stored, np.uint8)[None])
            stored = stored[:-4]
        elif code == DEFLATE:
            stored = _inflate(stored, size + 4)
        elif code == LZF:
            stored = _unpack_lzf(stored, size + 4)
        elif code == SHUFFLE:
            stored = _unshuffle(stored, parameters[0] if parameters else 1)
    if len(stored) != size:
        raise ValueError(f"a chunk of {size:,} bytes has {len(stored):,}")
    return np.frombuffer(stored, np.uint8)


def check_fletcher32(chunks: np.ndarray) -> None:
    r"""Raises `ValueError` unless each row of bytes ends in the checksum of those before.

    Of $n$ words $w_0, w_1, \dots$ of 16 bits, most significant byte first, the checksum is $\sum_i w_i$ and
    $\sum_i (n - i) w_i$ modulo 65535. As $2^{16} = 1$ there, both sums can be taken over words of 32 bits, and with the other
    order of bytes, which multiplies them by 256. So they are products of matrices, exact in float64.
    """
    length = chunks.shape[1] - 4
    if length < 0:
        raise ValueError("a chunk is shorter than its checksum")
    whole = length // (4 * _COLUMNS) * 4 * _COLUMNS
    sums, places = _sums(chunks[:, :whole], 0) if whole else np.zeros((2, len(chunks)), np.uint64)
    if whole < length:
        rest = np.zeros((len(chunks), 4 * _COLUMNS), np.uint8)
        rest[:, : length - whole] = chunks[:, whole:length]
        sums, places = np.add((sums, places), _sums(rest, whole // 2))
    number = -(-length // 2) % _MODULUS
    found = np.stack([sums % _MODULUS, (number * (sums % _MODULUS) + places * (_MODULUS - 1)) % _MODULUS], axis=1)
    stated = np.ascontiguousarray(chunks[:, length:]).view("<u2")
    if (found * 256 % _MODULUS != stated % _MODULUS).any():
        raise ValueError("checksum mismatch")


def _sums(chunks: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    """The sums of the words, and of the words times their places from `first` on, of each row, up to multiples of 65535."""
    words = chunks.view("<u4").reshape(len(chunks), -1, _COLUMNS)
    blocks = words.shape[1]
    step = max(1, _ROWS // max(1, blocks))
    sums, places = np.zeros((2, len(chunks)), np.uint64)
    buffer = np.empty((step * min(blocks, _ROWS), _COLUMNS))  # stays in the cache
    for row in range(0, len(chunks), step):
        for block in range(0, blocks, _ROWS):
            piece = words[row : row + step, block : block + _ROWS]
            values = buffer[: piece.shape[0] * piece.shape[1]]
            np.copyto(values.reshape(piece.shape), piece)
            found = (values @ _WEIGHTS).astype(np.uint64).reshape(*piece.shape[:2], 2) % _MODULUS
            start = (np.arange(block, block + piece.shape[1], dtype=np.uint64) * _COLUMNS) % _MODULUS
            sums[row : row + step] += found[..., 0].sum(axis=1)
            places[row : row + step] += 2 * (found[..., 1] + found[..., 0] * start % _MODULUS).sum(axis=1)
    odd = chunks.view("<u2")[:, 1::2].sum(axis=1, dtype=np.uint64)
    return sums, (places + odd + sums % _MODULUS * (first % _MODULUS)) % _MODULUS


def _inflate(stored: bytes, limit: int) -> bytes:
    inflater = zlib.decompressobj()
    try:
        found = inflater.decompress(stored, limit)
    except zlib.error as error:
        raise ValueError(f"compressed data are damaged ({error})") from error
    if not inflater.eof:
        raise ValueError("compressed data do not end where they should")
    return found


def _unshuffle(stored: bytes, size: int) -> bytes:
    """The first bytes of all elements stand first, then the second ones, and so on; what is left over stands at the end."""
    whole = len(stored) // max(1, size) * size
    values = np.frombuffer(stored, np.uint8, whole)
    return np.ascontiguousarray(values.reshape(size, -1).T).tobytes() + stored[whole:] if whole and size > 1 else stored


def _unpack_lzf(stored: bytes, limit: int) -> bytes:
    """LibLZF's format: a byte below 32 is followed by as many literal bytes and one more, others refer to what stands before."""
    found, place = bytearray(), 0
    try:
        while place < len(stored):
            control = stored[place]
            place += 1
            if control < 32:
                found += stored[place : place + control + 1]
                place += control + 1
                continue
            length = control >> 5
            if length == 7:
                length += stored[place]
                place += 1
            start = len(found) - ((control & 31) << 8) - stored[place] - 1
            place, length = place + 1, length + 2
            if start < 0:
                raise IndexError
            piece = found[start : start + length]
            found += (piece * -(-length // len(piece)))[:length]
            if len(found) > limit:
                raise IndexError
    except IndexError:
        raise ValueError("compressed data are damaged") from None
    return bytes(found)
