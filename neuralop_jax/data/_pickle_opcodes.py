"""The instructions of a pickle, read as data: nothing is imported, nothing is called, no object of Python is made from a name.

A pickle is a program for a small stack machine, and loading one runs it. This machine knows only what `torch.save` needs:
numbers, texts, tuples, lists and dictionaries. A name of Python is a `Global`, which is a text on a list of allowed ones; a call
is a `Call`, which is that text beside its arguments. Every other instruction is refused.
"""

import struct
from collections.abc import Collection
from dataclasses import dataclass

from neuralop_jax.errors import DataError

MAX_BYTES = 2**24
"""Longest pickle that is read; a thousand tensors take 100 kB."""
MAX_INSTRUCTIONS = 500_000
"""A tensor takes about 35."""

_REFUSED = {
    **{b"i": "INST", b"o": "OBJ", b"\x81": "NEWOBJ", b"\x92": "NEWOBJ_EX", b"P": "PERSID", b"\x93": "STACK_GLOBAL"},
    **{b"\x82": "EXT1", b"\x83": "EXT2", b"\x84": "EXT4", b"\x97": "NEXT_BUFFER", b"0": "POP", b"1": "POP_MARK", b"2": "DUP"},
}
_ONLY = "only tensors, numbers, texts, lists and dictionaries are read, nothing is run"
_REMEDY = "If you trust the file, load it with PyTorch and save its tensors alone: torch.save({name: tensor}, PATH)."


@dataclass(frozen=True, eq=False, slots=True)
class Global:
    """The name of a Python object, never the object."""

    name: str


@dataclass(frozen=True, eq=False, slots=True)
class Call:
    """What the pickle wants called, and with what; it is not called."""

    name: str
    arguments: tuple


@dataclass(frozen=True, eq=False, slots=True)
class Persistent:
    """The identifier of something kept beside the pickle."""

    identifier: object


def check_size(size: int, where: str) -> None:
    """Raises `DataError` for a pickle of more than `MAX_BYTES`, before its bytes are touched, which a sparse file lacks."""
    if size > MAX_BYTES:
        raise DataError(f"{where} has {size:,} bytes, more than {MAX_BYTES:,}; refused. {_REMEDY}")


def read_pickle(data: bytes, allowed: Collection[str], where: str) -> object:
    """The value that a pickle describes: `None`, booleans, numbers, texts, tuples, lists, dictionaries and the three above.

    `collections.OrderedDict()` becomes a dictionary, and attributes that are set on it are dropped. Lists and dictionaries may
    contain themselves.

    **Arguments:**

    - `data`: the pickle.
    - `allowed`: names that a `Global` may have.
    - `where`: the place of the pickle, for messages.

    **Raises:** `DataError` with the byte at which stands a name that is not allowed, another instruction, or damage.
    """
    check_size(len(data), where)
    machine = _Machine(data, allowed, where)
    try:
        return machine.run()
    except (IndexError, KeyError, struct.error, UnicodeDecodeError) as error:
        raise machine.damage("an instruction lacks what it needs") from error


class _Machine:
    def __init__(self, data: bytes, allowed: Collection[str], where: str):
        self._data, self._allowed, self._where = data, allowed, where
        self._start = self._next = 0  # of this instruction; of what is read next
        self._stack: list = []
        self._below: list[list] = []  # one stack for each open mark
        self._memo: dict[int, object] = {}

    def run(self) -> object:
        for _ in range(MAX_INSTRUCTIONS):
            self._start = self._next
            code = self._take(1)
            if code == b".":
                if self._below or len(self._stack) != 1 or self._next != len(self._data):
                    raise self.damage("it does not end with one value")
                return self._stack[0]
            self._step(code)
        raise DataError(f"{self._where} has more than {MAX_INSTRUCTIONS:,} instructions; refused. {_REMEDY}")

    def _step(self, code: bytes) -> None:
        push, pop = self._stack.append, self._stack.pop
        match code:
            case b"\x80" | b"\x95":  # PROTO, FRAME
                self._number("<B" if code == b"\x80" else "<Q")
            case b"N":  # NONE
                push(None)
            case b"\x88" | b"\x89":  # NEWTRUE, NEWFALSE
                push(code == b"\x88")
            case b"K" | b"M" | b"J" | b"G":  # BININT1, BININT2, BININT, BINFLOAT
                push(self._number({b"K": "<B", b"M": "<H", b"J": "<i", b"G": ">d"}[code]))
            case b"\x8a":  # LONG1
                size = self._number("<B")
                if size > 8:
                    raise self.damage("it holds an integer of more than 64 bits")
                push(int.from_bytes(self._take(size), "little", signed=True))
            case b"X" | b"\x8c" | b"\x8d":  # BINUNICODE, SHORT_BINUNICODE, BINUNICODE8
                push(self._take(self._number({b"X": "<I", b"\x8c": "<B", b"\x8d": "<Q"}[code])).decode())
            case b")":  # EMPTY_TUPLE
                push(())
            case b"]":  # EMPTY_LIST
                push([])
            case b"}":  # EMPTY_DICT
                push({})
            case b"(":  # MARK
                self._below.append(self._stack)
                self._stack = []
            case b"t":  # TUPLE
                values = tuple(self._to_mark())
                self._stack.append(values)
            case b"\x85" | b"\x86" | b"\x87":  # TUPLE1, TUPLE2, TUPLE3
                push(tuple([pop() for _ in range(code[0] - 0x84)][::-1]))
            case b"a":  # APPEND
                self._append([pop()])
            case b"e":  # APPENDS
                self._append(self._to_mark())
            case b"s":  # SETITEM
                self._set_items([pop(), pop()][::-1])
            case b"u":  # SETITEMS
                self._set_items(self._to_mark())
            case b"q" | b"r":  # BINPUT, LONG_BINPUT
                self._memo[self._number("<B" if code == b"q" else "<I")] = self._stack[-1]
            case b"\x94":  # MEMOIZE
                self._memo[len(self._memo)] = self._stack[-1]
            case b"h" | b"j":  # BINGET, LONG_BINGET
                push(self._memo[self._number("<B" if code == b"h" else "<I")])
            case b"c":  # GLOBAL
                push(self._global(f"{self._line()}.{self._line()}"))
            case b"\x93" if all(isinstance(part, str) for part in self._stack[-2:]):  # STACK_GLOBAL
                name, module = pop(), pop()
                push(self._global(f"{module}.{name}"))
            case b"Q":  # BINPERSID
                push(Persistent(pop()))
            case b"R":  # REDUCE
                arguments, function = pop(), pop()
                if not isinstance(function, Global) or not isinstance(arguments, tuple):
                    raise self.damage("it calls what is not a name")
                empty_dict = function.name == "collections.OrderedDict" and not arguments
                push({} if empty_dict else Call(function.name, arguments))
            case b"b":  # BUILD, which sets attributes
                if not isinstance(pop(), dict) or not isinstance(self._stack[-1], dict):
                    raise self.damage("it sets attributes of what is not a dictionary")
            case _:
                name = _REFUSED.get(code, "unknown to torch.save")
                raise DataError(
                    f"{self._where} holds the instruction 0x{code.hex()} ({name}) at byte {self._start:,}; {_ONLY}. {_REMEDY}"
                )

    def _global(self, name: str) -> Global:
        if name not in self._allowed:
            raise DataError(
                f"{self._where} asks for the Python object {name[:200]!r} at byte {self._start:,}; {_ONLY}. {_REMEDY}"
            )
        return Global(name)

    def _take(self, size: int) -> bytes:
        if size > len(self._data) - self._next:
            raise self.damage("it ends too early")
        self._next += size
        return self._data[self._next - size : self._next]

    def _number(self, kind: str):
        return struct.unpack(kind, self._take(struct.calcsize(kind)))[0]

    def _line(self) -> str:
        end = self._data.find(b"\n", self._next)
        if end < 0:
            raise self.damage("it ends inside a name")
        return self._take(end + 1 - self._next)[:-1].decode()

    def _to_mark(self) -> list:
        values, self._stack = self._stack, self._below.pop()
        return values

    def _append(self, values: list) -> None:
        if not isinstance(self._stack[-1], list):
            raise self.damage("it appends to what is not a list")
        self._stack[-1].extend(values)

    def _set_items(self, items: list) -> None:
        if not isinstance(self._stack[-1], dict) or len(items) % 2:
            raise self.damage("it sets items of what is not a dictionary")
        if not all(type(key) in (str, int) for key in items[::2]):
            raise self.damage("it holds a dictionary with keys that are neither texts nor integers")
        self._stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def damage(self, reason: str) -> DataError:
        """The error for this instruction."""
        return DataError(f"{self._where} cannot be read: {reason} (byte {self._start:,}). {_REMEDY}")
