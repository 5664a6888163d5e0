"""argus' bidirectional flows as CSV with a header, as its client `ra` and the CTU data sets write them.

Times without a zone are taken as UTC. Where packets are only told for both directions together they are divided like
the bytes, at least one for each direction that has any. Flags are counted by the letters of a TCP flow's `State`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from analyzer.importers import tables
from analyzer.importers.columns import Columns, Faults

NEEDED = ("starttime", "dur", "proto", "srcaddr", "dstaddr", "totpkts", "totbytes", "srcbytes")
_REMEDY = "a binetflow has StartTime, Dur, Proto, SrcAddr, Sport, Dir, DstAddr, Dport, State, TotPkts, TotBytes, ..."
_LETTERS = {"syn": "S", "fin": "F", "rst": "R", "psh": "P"}


def writes(first: str) -> bool:
    """Does a file with this first line look like one of these?"""
    return "starttime" in first.lower()


def read(lines: Iterable[tuple[int, str]], faults: Faults) -> Columns:
    """Flows of a file whose first line names the columns.

    Raises:
        FlowFileError: a needed column is missing.
    """
    found = Columns()
    for number, known in tables.rows(lines, NEEDED, faults, remedy=_REMEDY):
        found.add(number, _cells(known), (known.get("label", ""), ""))
    return found


def _cells(known: Mapping[str, str]) -> tuple[str, ...]:
    """In the order of `COLUMNS`."""
    proto = known["proto"].lower()
    state = known.get("state", "").upper() if proto == "tcp" else ""
    flags = {name: str(state.count(letter)) for name, letter in _LETTERS.items()}
    octets = (known["srcbytes"], known.get("dstbytes") or _rest(known["totbytes"], known["srcbytes"]))
    source = known["srcaddr"], _port(known.get("sport", ""))
    target = known["dstaddr"], _port(known.get("dport", ""))
    amounts = (*_packets(known, *octets), *octets)
    if known.get("dir", "").startswith("<") and not known["dir"].endswith(">"):  # the right end opened it
        source, target = target, source
        amounts = (amounts[1], amounts[0], amounts[3], amounts[2])
    return (
        _time(known["starttime"]), "", known["dur"], proto, *source, *target, *amounts,
        flags["syn"], flags["fin"], flags["rst"], "", flags["psh"], "",
    )  # fmt: skip


def _packets(known: Mapping[str, str], sent: str, answered: str) -> tuple[str, str]:
    if known.get("srcpkts") and known.get("dstpkts"):
        return known["srcpkts"], known["dstpkts"]
    try:
        total, ours, theirs = int(known["totpkts"]), int(sent), int(answered)
    except ValueError:
        return known["totpkts"], ""
    if theirs <= 0 or ours <= 0:
        return (str(total), "0") if theirs <= 0 else ("0", str(total))
    there = min(max(round(total * ours / (ours + theirs)), 1), max(total - 1, 1))
    return str(there), str(max(total - there, 0))


def _rest(total: str, part: str) -> str:
    """The difference; where it cannot be computed, the one that is no number, which is then complained about."""
    try:
        return str(int(total) - int(part))
    except ValueError:
        return part if total.isdecimal() else total


def _port(text: str) -> str:
    """A number; ICMP's type and code are written in hexadecimal."""
    if not text.lower().startswith("0x"):
        return text
    try:
        return str(int(text, 16))
    except ValueError:
        return text


def _time(text: str) -> str:
    """Epoch seconds of `2011/08/10 09:46:53.047277`; anything else as it is."""
    try:
        return f"{datetime.fromisoformat(text.replace('/', '-')).replace(tzinfo=UTC).timestamp():.6f}"
    except ValueError:
        return text
