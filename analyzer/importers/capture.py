"""Packet captures (pcap, pcapng) by nfstream: flows by 5-tuple, IP bytes, flags counted by packet.

nfstream meters in processes of its own, and waits for ever for one that has died on a packet. So all of it runs in a
process that ends with them. It also stops silently where a capture is cut off: the packets are counted here, too.
"""

from __future__ import annotations

import gzip
import multiprocessing
import os
import signal
import tempfile
import zlib
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import BinaryIO

from analyzer.csvflows import PROTOCOLS
from analyzer.importers.columns import Columns, Faults
from analyzer.importers.framing import count_packets
from analyzer.importers.lines import Unpacked, opened
from analyzer.pair import IDLE_SECONDS
from analyzer.site import FlowFileError

_NEVER = 10**9
"""Seconds after which a flow that goes on would be told in parts."""
_NAMES = {number: name for name, number in reversed(PROTOCOLS.items())}
_FOUND = tuple[list[tuple[str, ...]], int]
"""Cells of flows in the order of `COLUMNS`, and how many packets are in them."""


def read(path: Path, faults: Faults) -> Columns:
    """Flows of a capture, which may be gzipped.

    Raises:
        FlowFileError: it cannot be opened, is of a kind that cannot be read, or made the meter break down.
    """
    with tempfile.TemporaryDirectory(prefix="dynseg-") as folder:
        plain = Path(folder) / "capture"
        with opened(path) as source, plain.open("wb") as target:
            _copy(source, target, faults)
        framed = count_packets(plain)
        if framed.cut:
            faults.note(framed.cut)
        rows, metered = _meter(plain, path)
    if framed.packets > metered:
        faults.note("packets that belong to no IP flow", count=framed.packets - metered)
    found = Columns()
    for row in rows:
        found.add(0, row)
    return found


def _copy(source: Unpacked, target: BinaryIO, faults: Faults) -> None:
    try:
        while chunk := source.read1(1 << 16):  # not more than what is there, so that a cut loses only what it cut
            target.write(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        faults.note(f"breaks off, the rest is lost: {error}")


def _meter(plain: Path, named: Path) -> _FOUND:
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            return pool.submit(_flows, plain).result()
    except ValueError as error:
        remedy = "captures of Ethernet, Linux cooked and raw IP links can be read"
        raise FlowFileError(f"nfstream cannot read it: {error}", file=named, remedy=remedy) from error
    except BrokenProcessPool as error:
        remedy = "cut the capture in two to find the packet"
        raise FlowFileError("nfstream broke down on it", file=named, remedy=remedy) from error


def _flows(plain: Path) -> _FOUND:
    """In a process of its own."""
    from nfstream import NFStreamer

    signal.signal(signal.SIGCHLD, _end_with_child)
    meter = NFStreamer(
        source=str(plain), accounting_mode=1, statistical_analysis=True, n_meters=1,
        idle_timeout=int(IDLE_SECONDS), active_timeout=_NEVER,
    )  # fmt: skip
    rows: list[tuple[str, ...]] = []
    packets = 0
    for flow in meter:
        packets += flow.bidirectional_packets
        rows.append(
            (
                f"{flow.bidirectional_first_seen_ms / 1000:.3f}", f"{flow.bidirectional_last_seen_ms / 1000:.3f}", "",
                _NAMES.get(flow.protocol, str(flow.protocol)),
                str(flow.src_ip), str(flow.src_port), str(flow.dst_ip), str(flow.dst_port),
                str(flow.src2dst_packets), str(flow.dst2src_packets), str(flow.src2dst_bytes), str(flow.dst2src_bytes),
                str(flow.bidirectional_syn_packets), str(flow.bidirectional_fin_packets),
                str(flow.bidirectional_rst_packets), str(flow.bidirectional_ack_packets),
                str(flow.bidirectional_psh_packets), str(flow.application_name),
            )
        )  # fmt: skip
    return rows, packets


def _end_with_child(*_: object) -> None:
    """A meter that was killed by a signal, or failed, will never say that it is done."""
    ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if ended is not None and (ended.si_code, ended.si_status) not in _FINE:
        os._exit(1)


_FINE = ((os.CLD_EXITED, 0), (os.CLD_KILLED, signal.SIGTERM))
"""Done, or ended by nfstream after it has told of an error."""
