"""The certificate of a run: computed on the finest held-out split, kept in certificate.json, shown as a table and on the page."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from neuralop_jax._run_files import read_json
from neuralop_jax._strict_json import numbers
from neuralop_jax.cli._console import say, show_table
from neuralop_jax.cli._run import write_json

_CLAIMS = {
    "exact": "This operator claims the same function on every grid that holds its modes, to round-off: {reason}.",
    "converges": "This operator claims functions that approach each other on finer grids. What lets them differ: {reason}.",
    "none": "This operator claims nothing of other grids: {reason}. The differences are what they are.",
}
HEADS = ("grid", "modes", ">difference", ">error on the data", ">input beyond", ">output beyond", "verdict")
"""The columns of the table."""


def read_certificate(run: Path) -> dict[str, Any]:
    """The certificate of a run; empty if it has none."""
    return numbers(read_json(run / "certificate.json")) if (run / "certificate.json").exists() else {}


def store_certificate(run: Path, split: str, certificate: Mapping[str, Any]) -> None:
    """Writes the certificate measured on a split into the run directory, and prints it."""
    write_json(run / "certificate.json", {"split": split, **certificate})
    show_table(HEADS, rows(certificate), title=f"Certificate of resolution ({split}, {certificate['count']} samples)")
    for line in sentences(certificate):
        say(line)


def rows(certificate: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """The rows of the table below `HEADS`."""
    number = lambda value, digits: "–" if value is None else f"{value:.{digits}g}"
    for row in certificate["grids"]:
        trained = " (training)" if row["grid"] == certificate["training_grid"] else ""
        marked = "*" if row["interpolated"] else ""
        yield (
            " x ".join(map(str, row["grid"])) + trained,
            " x ".join(map(str, row["modes"])) or "–",
            number(row["difference"], 2),
            number(row["error"], 4) + marked,
            number(row["input_tail"], 2),
            number(row["output_tail"], 2),
            row["verdict"],
        )


def sentences(certificate: Mapping[str, Any]) -> Iterator[str]:
    """What the table means, and why grids were refused."""
    yield _CLAIMS[certificate["claim"]].format(reason=certificate["reason"])
    waves = " x ".join(map(str, certificate["waves"]))
    limit = {"exact": "round_off", "converges": "tolerance"}.get(certificate["claim"])
    asked = f" Up to {certificate[limit]:.2g} outputs agree." if limit else ""
    yield (
        "Difference: relative L2, from the output on the finest grid at the same points, of the finest itself from the next, for "
        f"inputs of at most {waves} waves.{asked}"
    )
    yield "Beyond: the part of the energy of the data that a grid does not resolve; – where the data do not tell."
    if any(row["interpolated"] for row in certificate["grids"]):
        yield "* The data were interpolated to this grid: the error contains that of cubic polynomials."
    for row in certificate["grids"]:
        if row["verdict"] == "refused":
            yield f"{' x '.join(map(str, row['grid']))}: {row['reason']}"
