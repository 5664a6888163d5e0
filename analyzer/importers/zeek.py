"""Zeek's conn.log, as TSV with `#fields` or as JSON lines.

Format: Zeek's documentation of the ASCII writer and of `Conn::Info`. Bytes are those of IP packets where the log has
them; flags are counted by the letters of `history`, which does not tell of acknowledgements alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from analyzer.importers.columns import Columns, Faults
from analyzer.site import FlowFileError

NEEDED = (
    *("ts", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p"),
    *("proto", "duration", "orig_pkts", "resp_pkts"),
)
_REMEDY = f"a conn.log has {', '.join(NEEDED)} and more"


def read_tsv(lines: Iterable[tuple[int, str]], faults: Faults) -> Columns:
    """Flows of a log with `#fields`; the header may come again (logs put one after the other).

    Raises:
        FlowFileError: a needed field is missing, or there is no header.
    """
    found = Columns()
    separator, unset, empty, fields = "\t", "-", "(empty)", list[str]()
    for number, line in lines:
        if line.startswith("#separator "):
            separator = line.split(" ", 1)[1].encode().decode("unicode_escape")
        elif line.startswith("#"):
            key, *values = line.split(separator)
            if key == "#unset_field" and values:
                unset = values[0]
            elif key == "#empty_field" and values:
                empty = values[0]
            elif key == "#fields":
                fields = values
                _require(fields, faults, number)
        elif not fields:
            raise FlowFileError("flows before any #fields", file=faults.file, line=number, remedy=_REMEDY)
        elif line:
            cells = line.split(separator)
            if len(cells) < len(fields):
                faults.note(f"has only some of its {len(fields)} fields: a line that was cut off", number)
                continue
            known = {name: "" if cell in (unset, empty) else cell for name, cell in zip(fields, cells, strict=False)}
            found.add(number, _cells(known), _truth(known))
    return found


def read_json(lines: Iterable[tuple[int, str]], faults: Faults) -> Columns:
    """Flows of a log that has a JSON object a line; a key that is absent is not set."""
    found = Columns()
    for number, line in lines:
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            faults.note("is no JSON: a line that was cut off", number)
            continue
        if not isinstance(entry, dict):
            faults.note("is no JSON object", number)
            continue
        known = dict(_flat(entry))
        missing = [name for name in NEEDED if name != "duration" and name not in known]
        if missing:
            faults.note(f"has no {', '.join(missing)}", number)
            continue
        found.add(number, _cells(known), _truth(known))
    return found


def _require(fields: list[str], faults: Faults, line: int) -> None:
    missing = [name for name in NEEDED if name not in fields]
    if missing:
        raise FlowFileError(f"has no field {', '.join(missing)}", file=faults.file, line=line, remedy=_REMEDY)


def _flat(entry: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """`{"id": {"orig_h": ...}}` and `{"id.orig_h": ...}` are the same."""
    for name, value in entry.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{inner}", text) for inner, text in _flat(value))
        elif value is not None:
            yield name, str(value)


def _cells(known: Mapping[str, str]) -> tuple[str, ...]:
    """In the order of `COLUMNS`."""
    tcp = known["proto"] == "tcp"
    history = known.get("history", "").lower() if tcp else ""
    counts = {
        "syn": history.count("s") + history.count("h"),
        "fin": history.count("f"),
        "rst": history.count("r"),
        "psh": history.count("d"),
    }
    flags = {name: str(count) for name, count in counts.items()}
    octets = [known.get(f"{end}_ip_bytes") or known.get(f"{end}_bytes", "") for end in ("orig", "resp")]
    return (
        _time(known["ts"]), "", known.get("duration", ""), known["proto"],
        known["id.orig_h"], known["id.orig_p"], known["id.resp_h"], known["id.resp_p"],
        known["orig_pkts"], known["resp_pkts"], *octets,
        flags["syn"], flags["fin"], flags["rst"], "", flags["psh"], known.get("service", ""),
    )  # fmt: skip


def _truth(known: Mapping[str, str]) -> tuple[str, str]:
    """Columns that the Stratosphere data sets add to a conn.log."""
    return known.get("label", ""), known.get("detailedlabel") or known.get("detailed-label", "")


def _time(text: str) -> str:
    """Epoch seconds of `JSON::TS_ISO8601`; anything else as it is."""
    if "T" not in text:
        return text
    try:
        return f"{datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp():.6f}"
    except ValueError:
        return text
