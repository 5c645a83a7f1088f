"""What the verbs print: plain tables, without a line that a file could have smuggled in."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from neuralop_jax._checks import printable


def console() -> Console:
    """A console on standard output that takes text literally; 130 columns wide where there is no terminal to ask."""
    plain = Console(markup=False, highlight=False, emoji=False)
    return plain if plain.is_terminal else Console(markup=False, highlight=False, emoji=False, width=130)


def say(*parts: object) -> None:
    """Prints a line."""
    console().print(*map(printable, parts), soft_wrap=True)


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """Prints a table; a column whose name starts with `>` is aligned to the right."""
    table = Table(title=title or None, title_justify="left")
    for name in columns:
        table.add_column(name.lstrip(">"), justify="right" if name.startswith(">") else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(printable, row))
    console().print(table)
