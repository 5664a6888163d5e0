"""CSV tables whose columns have names, as several tools write them: lines in, a mapping for each row out."""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Iterable, Iterator

from analyzer.importers.columns import Faults
from analyzer.site import FlowFileError

Head = Callable[[list[str]], tuple[list[str], bool]]
"""From the cells of a line to the columns' names and whether it is the line that names them."""


def named(cells: list[str]) -> tuple[list[str], bool]:
    """Names in any case, in the first line."""
    return [cell.lower() for cell in cells], True


def rows(
    lines: Iterable[tuple[int, str]],
    needed: Collection[str],
    faults: Faults,
    head: Head = named,
    remedy: str | None = None,
) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells by column of each row. Empty lines are passed over, broken ones noted in `faults`.

    Args:
        lines: with their numbers.
        needed: columns without which nothing can be read.
        faults: of the file.
        head: names the columns; asked about the first line.
        remedy: what to do about a missing column.

    Raises:
        FlowFileError: a needed column is missing.
    """
    fields: list[str] = []
    for number, line in lines:
        if not line.strip():
            continue
        try:
            cells = [cell.strip() for cell in next(csv.reader([line]))]
        except csv.Error as error:
            faults.note(f"is no line of a table: {error}", number)
            continue
        if not fields:
            fields, is_head = head(cells)
            if missing := [name for name in needed if name not in fields]:
                message = f"has no column {', '.join(missing)}"
                raise FlowFileError(message, file=faults.file, line=number, remedy=remedy)
            if is_head:
                continue
        if len(cells) < len(fields):
            faults.note(f"has only some of its {len(fields)} columns: a line that was cut off", number)
            continue
        yield number, dict(zip(fields, cells, strict=False))
