"""Zip archives whose members are stored as they are: each is a place in the file, and nothing is ever unpacked."""

import mmap
import struct
from pathlib import Path

from neuralop_jax.errors import DataError

MAX_MEMBERS = 100_000
_UNKNOWN = 0xFFFFFFFF
"""A 32-bit number too small for its value, which then stands in the zip64 field."""


def stored_members(path: Path) -> dict[str, tuple[memoryview, int]]:
    """The content of every member by name, as a view of the memory-mapped file, and the CRC-32 that the archive states for it.

    **Raises:** `DataError` if the archive is truncated, damaged or split, or if a member is compressed, encrypted, named twice,
    named differently in its two headers, or outside the file.
    """
    with open(path, "rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        return _members(path, content)
    except (struct.error, OverflowError, UnicodeDecodeError) as error:
        raise _damage(path, "its directory is cut off") from error


def _members(path: Path, content: mmap.mmap) -> dict[str, tuple[memoryview, int]]:
    count, position = _directory(path, content)
    view, members = memoryview(content), {}
    for _ in range(count):
        fields = struct.unpack_from("<4s4xHH4xLLLHHH8xL", content, position)
        mark, flags, method, crc, stored, size, name_length, extra_length, comment_length, header = fields
        if mark != b"PK\x01\x02":
            raise _damage(path, "its directory names fewer members than it counts")
        end = position + 46 + name_length
        raw_name, extra = content[position + 46 : end], content[end : end + extra_length]
        position = end + extra_length + comment_length
        size, stored, header = _large(extra, (size, stored, header))
        name = raw_name.decode()
        where = f"{path}:{name[:200]!r}"
        if flags & 1:
            raise DataError(f"{where} is encrypted. Save it again without a password.")
        if method or stored != size:
            raise DataError(f"{where} is compressed, as in TorchScript; torch.save does not. Save the tensors with torch.save.")
        if name in members:
            raise DataError(f"{where} is in the archive twice. Save it again with torch.save.")
        mark, name_length, extra_length = struct.unpack_from("<4s22xHH", content, header)
        start = header + 30 + name_length + extra_length
        if mark != b"PK\x03\x04" or content[header + 30 : header + 30 + name_length] != raw_name:
            raise _damage(path, f"its directory and the header of {name[:200]!r} differ")
        if start + size > len(content):
            raise _damage(path, f"{name[:200]!r} ends behind the end of the file")
        members[name] = view[start : start + size], crc
    return members


def _directory(path: Path, content: mmap.mmap) -> tuple[int, int]:
    """The number of members and the place of the first entry of the central directory."""
    end = content.rfind(b"PK\x05\x06", max(0, len(content) - 22 - 2**16))
    if end < 0:
        raise DataError(f"{path} is truncated: a zip archive without an end. Download or generate it again.")
    disk, count, start = struct.unpack_from("<4xH4xH4xL2x", content, end)
    locator = end - 20
    if locator >= 0 and content[locator : locator + 4] == b"PK\x06\x07":
        (record,) = struct.unpack_from("<8xQ", content, locator)
        if content[record : record + 4] != b"PK\x06\x06":
            raise _damage(path, "its zip64 record is missing")
        disk, count, start = struct.unpack_from("<16xL12xQ8xQ", content, record)
    if disk:
        raise _damage(path, "it is one part of a split archive")
    if count > MAX_MEMBERS:
        raise DataError(f"{path} has {count:,} members, more than {MAX_MEMBERS:,}; refused. Save fewer tensors in one file.")
    return count, start


def _large(extra: bytes, numbers: tuple[int, ...]) -> list[int]:
    """`numbers`, with those that are `_UNKNOWN` taken from the zip64 field, where they stand in the same order."""
    field = b""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        field = extra[4 : 4 + length] if kind == 1 else field
        extra = extra[4 + length :]
    wide = struct.iter_unpack("<Q", field[: len(field) // 8 * 8])
    return [next(wide, (number,))[0] if number == _UNKNOWN else number for number in numbers]


def _damage(path: Path, reason: str) -> DataError:
    return DataError(f"{path} is damaged: {reason}. Download or generate it again.")
