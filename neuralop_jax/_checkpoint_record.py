"""What has to stand beside the arrays of a checkpoint, and the refusal of anything else before something is made of it."""

from collections.abc import Sequence
from typing import Any, NotRequired, TypedDict

from neuralop_jax._checks import shown
from neuralop_jax._json_schema import Count, Finite, check_json
from neuralop_jax.errors import CheckpointError
from neuralop_jax.info import DatasetInfo

_ANY_MODEL = 10**6
"""A whole number in a specification may always be as large as this: it may count points or steps, of which no weight tells."""


class DamagedCheckpoint(CheckpointError):
    """The files of one checkpoint are missing, cut or altered; another step may be whole."""


class Leaf(TypedDict):
    """An array of a checkpoint."""

    shape: Sequence[Count]
    dtype: str
    sha256: str


class Meta(TypedDict):
    """All that stands beside the arrays of a step. Format 1 has no `files`, and versions before 0.1.0 had no `step`."""

    format: Count
    version: str
    step: NotRequired[Count]
    record: dict[str, Any]
    leaves: dict[str, dict[str, Leaf]]
    files: NotRequired[dict[str, dict[str, str]]]


class Normalizers(TypedDict):
    """The normalizers of an operator: kind and statistics."""

    input: dict[str, str | Finite | Sequence[Finite]]
    output: dict[str, str | Finite | Sequence[Finite]]


class OperatorRecord(TypedDict):
    """What has to be known of an operator to build it again."""

    spec: dict[str, Any]
    normalizers: Normalizers | None
    info: DatasetInfo | None


class SavedOperator(TypedDict):
    """The part that records of all kinds have."""

    operator: OperatorRecord


def check_record(schema: Any, tree: Any, where: str, *, name: str = "record") -> None:
    """Raises `DamagedCheckpoint` unless `tree`, which is `name` in `meta.json` of the step `where`, is as `schema` says."""
    try:
        check_json(schema, tree, name)
    except ValueError as error:
        raise DamagedCheckpoint(f"{where} is damaged (meta.json: {error})") from error


def check_sizes(spec: dict[str, Any], numbers: int, where: str) -> None:
    """Raises `DamagedCheckpoint` if a size in a specification is beyond what so many stored numbers could be the weights of.

    Nothing is built before this: it would take hours to find out otherwise that a width or a depth of 10^8 does not fit.
    """
    most = max(numbers, _ANY_MODEL)
    places: list[tuple[str, Any]] = [("spec", spec)]
    while places:
        name, value = places.pop()
        if isinstance(value, dict):
            places += [(f"{name}.{key}", each) for key, each in value.items()]
        elif isinstance(value, list):
            places += [(name, each) for each in value]
        elif isinstance(value, int) and abs(value) > most:
            raise DamagedCheckpoint(
                f"{where} is damaged (meta.json: record.operator.{name} is {shown(value)}, but {numbers:,} numbers are stored, "
                f"wanted {most:,} at most)"
            )
