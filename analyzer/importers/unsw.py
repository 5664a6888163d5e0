"""UNSW-NB15's flows as CSV: the four raw files (49 columns, no header), or the two partitions with a header.

The partitions tell neither addresses nor ports nor times: such flows are nobody's. Columns: NUSW-NB15_features.csv.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from analyzer.importers import tables
from analyzer.importers.columns import NO_ADDRESS, Columns, Faults

RAW = (
    "srcip", "sport", "dstip", "dsport", "proto", "state", "dur", "sbytes", "dbytes", "sttl", "dttl", "sloss", "dloss",
    "service", "sload", "dload", "spkts", "dpkts", "swin", "dwin", "stcpb", "dtcpb", "smeansz", "dmeansz",
    "trans_depth", "res_bdy_len", "sjit", "djit", "stime", "ltime", "sintpkt", "dintpkt", "tcprtt", "synack", "ackdat",
    "is_sm_ips_ports", "ct_state_ttl", "ct_flw_http_mthd", "is_ftp_login", "ct_ftp_cmd", "ct_srv_src", "ct_srv_dst",
    "ct_dst_ltm", "ct_src_ltm", "ct_src_dport_ltm", "ct_dst_sport_ltm", "ct_dst_src_ltm", "attack_cat", "label",
)  # fmt: skip
NEEDED = ("dur", "proto", "state", "spkts", "dpkts", "sbytes", "dbytes", "label")
_WELL_KNOWN = {
    "dns": "53", "http": "80", "smtp": "25", "ftp": "21", "ftp-data": "20", "pop3": "110", "ssh": "22", "ssl": "443",
    "snmp": "161", "dhcp": "67", "radius": "1812", "irc": "6667",
}  # fmt: skip
_STATES = {"FIN": ("1", "1", "0"), "CON": ("1", "0", "0"), "REQ": ("1", "0", "0"), "RST": ("1", "0", "1")}
"""argus' state of a TCP flow -> (syn, fin, rst)."""


def writes(first: str) -> bool:
    """Does a file with this first line look like one of these?"""
    return "ct_state_ttl" in first.lower() or len(first.split(",")) == len(RAW)


def read(lines: Iterable[tuple[int, str]], faults: Faults) -> Columns:
    """Flows of a file.

    Raises:
        FlowFileError: a needed column is missing.
    """
    found = Columns()
    clean = ((number, line.replace("\0", "")) for number, line in lines)
    for number, known in tables.rows(clean, NEEDED, faults, _head):
        found.add(number, _cells(known), _truth(known))
    return found


def _head(cells: list[str]) -> tuple[list[str], bool]:
    """The raw files begin with a flow."""
    fields, _ = tables.named(cells)
    return (fields, True) if "ct_state_ttl" in fields else (list(RAW), False)


def _cells(known: Mapping[str, str]) -> tuple[str, ...]:
    """In the order of `COLUMNS`."""
    tcp = known["proto"] == "tcp"
    syn, fin, rst = _STATES.get(known["state"].upper(), ("", "", "")) if tcp else ("", "", "")
    port = known.get("dsport") or _WELL_KNOWN.get(known.get("service", ""), "0")
    return (
        known.get("stime") or "0", known.get("ltime") or "", known["dur"], known["proto"],
        known.get("srcip") or NO_ADDRESS, _number(known.get("sport") or "0"),
        known.get("dstip") or NO_ADDRESS, _number(port),
        known["spkts"], known["dpkts"], known["sbytes"], known["dbytes"],
        syn, fin, rst, "", "", known.get("service", ""),
    )  # fmt: skip


def _number(port: str) -> str:
    """Some ports are written in hexadecimal, some are a dash."""
    if port == "-":
        return "0"
    try:
        return str(int(port, 16)) if port.lower().startswith("0x") else port
    except ValueError:
        return port


def _truth(known: Mapping[str, str]) -> tuple[str, str]:
    return ("benign", "") if known["label"] == "0" else ("malicious", known.get("attack_cat", ""))
