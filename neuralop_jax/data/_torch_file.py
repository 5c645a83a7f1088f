"""Tensors in PyTorch's files, read without PyTorch and without running the pickle inside."""

import math
import zlib
from pathlib import Path

import ml_dtypes
import numpy as np

from neuralop_jax.data._array_file import ArrayFile, LazyArray
from neuralop_jax.data._open import SIZE_LIMIT, _bytes, read_start, refuse_start
from neuralop_jax.data._pickle_opcodes import Call, Global, Persistent, check_size, read_pickle
from neuralop_jax.data._stored_zip import stored_members
from neuralop_jax.errors import DataError

STORAGES = {
    "torch.BoolStorage": np.dtype(bool),
    "torch.ByteStorage": np.dtype(np.uint8),
    "torch.CharStorage": np.dtype(np.int8),
    "torch.ShortStorage": np.dtype(np.int16),
    "torch.IntStorage": np.dtype(np.int32),
    "torch.LongStorage": np.dtype(np.int64),
    "torch.HalfStorage": np.dtype(np.float16),
    "torch.BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "torch.FloatStorage": np.dtype(np.float32),
    "torch.DoubleStorage": np.dtype(np.float64),
    "torch.ComplexFloatStorage": np.dtype(np.complex64),
    "torch.ComplexDoubleStorage": np.dtype(np.complex128),
}
"""The type is in the name of the storage, for the types that PyTorch has always had."""
TYPES = {"torch.uint16": np.dtype(np.uint16), "torch.uint32": np.dtype(np.uint32), "torch.uint64": np.dtype(np.uint64)}
"""Newer types are named beside an untyped storage."""

_UNTYPED = "torch.storage.UntypedStorage"
_TENSOR, _TYPED_TENSOR, _PARAMETER = (f"torch._utils._rebuild_{kind}" for kind in ("tensor_v2", "tensor_v3", "parameter"))
ALLOWED = {*STORAGES, *TYPES, _UNTYPED, _TENSOR, _TYPED_TENSOR, _PARAMETER, "collections.OrderedDict"}
"""The only names that a pickle may hold; each stands for itself in a table here, none is looked up in Python."""

MAX_DEPTH, MAX_VALUES, MAX_NAME, MAX_AXES = 64, 65_536, 1024, 64
"""Limits on containers within containers, on values in all, on the letters of a name, and on the axes of a tensor (NumPy's)."""

_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_RESAVE = (
    "Load it where you trust it and save it again with a current PyTorch: torch.save(torch.load(PATH, weights_only=True), PATH)."
)


def read_torch(path: str | Path) -> ArrayFile:
    """The tensors in a file of `torch.save`, memory-mapped, with their offsets, strides and types.

    PyTorch is not needed, and nothing in the file is run: the pickle inside is read as a description, in which only the names of
    tensors, storages and ordered dictionaries are known, and any other is refused. Data are read when they are sliced. They carry
    no checksum that is checked, so damage there goes unnoticed.

    **Arguments:**

    - `path`: a file in the zip format, that of PyTorch 1.6 and newer.

    **Returns:** an `ArrayFile`. Dictionaries, lists and tuples inside one another give names joined by `/`, such as
    `"model/fno.weight"` or `"0"`; one tensor alone is called `"tensor"`. Parameters are tensors like others; bfloat16 is the type
    of `ml_dtypes`. Numbers, texts and `None` are in `notes`.

    **Raises:** `DataError` if the file is missing, damaged, compressed, of the format before PyTorch 1.6 or a bare pickle; if its
    pickle holds a name or an instruction that is not allowed, with the byte; if a tensor reaches outside its storage, claims more
    than 64 times the bytes of the file, or is marked as conjugated.

    !!! example

        ```python
        import numpy as np
        from neuralop_jax.data import read_torch

        def first_samples(path, count=16):
            file = read_torch(path)                     # {"x": (1000, 16, 16) bool, "y": (1000, 16, 16) float32}
            return {name: np.ascontiguousarray(array[:count]) for name, array in file.items()}
        ```
    """
    path = Path(path)
    _check_start(path)
    members = stored_members(path)
    pickles = [name for name in members if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise DataError(f"{path} is a zip archive without PyTorch's data.pkl. Unpack it, or read .npz with numpy.load.")
    folder, where = pickles[0].removesuffix("data.pkl"), f"{path}:data.pkl"
    order = bytes(members.get(folder + "byteorder", (b"little", 0))[0][:16])
    if order != b"little":
        raise DataError(f"{path} has the byte order {order!r}, wanted b'little'. Save it again on an ordinary machine.")
    content, crc = members[pickles[0]]
    check_size(len(content), where)
    if crc and zlib.crc32(content) != crc:  # zero: torch.serialization.set_crc32_options(False)
        raise DataError(f"{where} is damaged: its CRC-32 differs. Download or generate it again.")
    storages = {name.removeprefix(folder): view for name, (view, _) in members.items() if name.startswith(folder)}
    size, arrays, notes = path.stat().st_size, {}, {}
    for name, value in _leaves(read_pickle(bytes(content), ALLOWED, where), where):
        if name in arrays or name in notes:
            raise DataError(f"{where} gives the name {name!r} twice. Rename one of the two.")
        if isinstance(value, Call):
            arrays[name] = _array(value, storages, f"{path}:{name}", SIZE_LIMIT * size)
        else:
            notes[name] = f"{path}:{name} is {_kind(value)}, not a tensor."
    return ArrayFile(path, arrays, notes)


def list_torch(path: str | Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """The shape and type of every tensor in a file of `torch.save`, by name, without reading values; see `read_torch`.

    !!! example

        ```python
        from neuralop_jax.data import list_torch

        def largest(path):
            return max(list_torch(path).items(), key=lambda entry: entry[1][0])  # name, (shape, type)
        ```
    """
    return read_torch(path).listing()


def _check_start(path: Path) -> None:
    """Raises unless `path` starts like a zip archive."""
    start, _ = read_start(path)
    if start.startswith(b"PK\x03\x04"):
        return
    if start.startswith(_LEGACY) or start[257:262] == b"ustar":
        raise DataError(f"{path} is in PyTorch's format before version 1.6, which can run code; never opened. {_RESAVE}")
    if len(start) > 1 and start[0] == 0x80 and start[1] <= 5:
        raise DataError(f"{path} is a bare pickle, which can run code when opened; never opened. {_RESAVE}")
    raise refuse_start(path, start, "a PyTorch file")


def _leaves(top: object, where: str) -> list[tuple[str, object]]:
    """What is not a container below `top`, with names, in order; within limits, as containers may hold themselves."""
    if isinstance(top, Call):
        return [("tensor", top)]
    waiting, found, visited = [("", top, 0)], [], 0
    while waiting:
        name, value, depth = waiting.pop()
        visited += 1
        if not isinstance(value, dict | list | tuple):
            found.append((name, value))
            continue
        items = list(value.items() if isinstance(value, dict) else enumerate(value))
        if depth > MAX_DEPTH or visited + len(waiting) + len(items) > MAX_VALUES:
            raise DataError(f"{where} holds over {MAX_VALUES:,} values or {MAX_DEPTH} levels; refused. Save its tensors alone.")
        for key, inside in reversed(items):
            key = f"{name}/{key}" if depth else str(key)
            if len(key) > MAX_NAME or not key.isprintable():
                raise DataError(f"{where} holds a name of more than {MAX_NAME} letters or with unprintable ones. Rename it.")
            waiting.append((key, inside, depth + 1))
    return found


def _kind(value: object) -> str:
    if isinstance(value, Global | Persistent):
        return "a storage or a type"
    return f"{type(value).__name__} {str(value)[:80]!r}"


def _array(call: Call, storages: dict[str, memoryview], where: str, limit: int) -> LazyArray:
    """The tensor that `call` describes, as a view of its storage."""
    dtype, key, numbers, offset, shape, strides = _description(call, where)
    claims = math.prod(max(1, length) for length in shape) * dtype.itemsize
    if claims > limit:
        claimed = _bytes(min(claims, 2**64))
        raise DataError(f"{where} claims {claimed}; refused (limit {SIZE_LIMIT} × file size). Save a tensor.contiguous().")
    content = storages.get(f"data/{key}")
    if content is None or len(content) != numbers * dtype.itemsize:
        found = "there is none" if content is None else f"it has {len(content):,} bytes"
        wanted = f"a storage {key[:80]!r} of {numbers * dtype.itemsize:,} bytes"
        raise DataError(f"{where} wants {wanted}; {found}. Download or generate it again.")
    if 0 in shape:
        return LazyArray(shape, dtype, np.empty(shape, dtype).__getitem__)
    last = offset + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
    if last >= numbers:
        raise DataError(f"{where} reaches element {last:,} of a storage of {numbers:,}. Download or generate it again.")
    boolean = dtype.kind == "b"  # bytes other than 0 and 1 must not become booleans as they are
    steps = tuple(stride * dtype.itemsize if length > 1 else 0 for length, stride in zip(shape, strides, strict=True))
    stored = np.ndarray(shape, np.uint8 if boolean else dtype, content, offset * dtype.itemsize, steps)
    return LazyArray(shape, dtype, (lambda rows: np.asarray(stored[rows] != 0)) if boolean else stored.__getitem__)


def _description(call: Call, where: str) -> tuple[np.dtype, str, int, int, tuple[int, ...], tuple[int, ...]]:
    """Type, storage and its number of elements, offset, shape and strides in elements."""
    if call.name == _PARAMETER and call.arguments and isinstance(call.arguments[0], Call):
        call = call.arguments[0]
    match call.arguments:
        case (Persistent(identifier), int(offset), tuple(shape), tuple(strides), bool(), dict(hooks), *rest) if not hooks:
            pass
        case _:
            raise _unusual(where)
    match identifier:
        case ("storage", Global(storage), str(key), str(), int(numbers)):
            dtype = STORAGES.get(storage) if call.name == _TENSOR else None
        case _:
            raise _unusual(where)
    if call.name == _TYPED_TENSOR and storage == _UNTYPED and rest and isinstance(rest[0], Global):
        dtype = TYPES.get(rest.pop(0).name)
        numbers //= dtype.itemsize if dtype else 1
    plain = all(type(number) is int and number >= 0 for number in (offset, numbers, *shape, *strides))
    if dtype is None or not plain or len(shape) != len(strides) or len(shape) > MAX_AXES:
        raise _unusual(where)
    if rest and rest != [{}]:
        raise DataError(f"{where} is marked as conjugated or negated. Save tensor.resolve_conj().resolve_neg().")
    return dtype, key, numbers, offset, shape, strides


def _unusual(where: str) -> DataError:
    return DataError(f"{where} is not an ordinary dense tensor. Save tensor.detach().cpu().clone() of it.")
