"""The compiled loops of the flow table: a burst of sides is gathered by flow, then merged into the table.

In between the table's owner puts on record what is about to change. A flow's two ends are the lower and the upper one
(by address, then port) until it is known who opened it.

Functions that are called for each flow take rows, not arrays: of an array compiled code counts its users at each call.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from analyzer.compiled import Row, compiled, signed
from analyzer.flows import ACK, ANSWERS_SHIFT, FIN, I8, PSH, RST, SYN, TCP, U8, Array, Fate, FlowState
from analyzer.keytable import mixed, place_of

IDLE_SECONDS = 120.0
"""After this silence the same 5-tuple is a new flow."""
REOPEN_SECONDS = 1.0
"""A SYN so long after the last packet is a new connection on the same ports. (A VFN reports a lasting flow under the
time of its first packet, so what goes on never looks like that.)"""
REFUSED_PACKETS = 3
"""A reset within so many packets of either side is a refusal."""
HEADERS = np.uint64(60)
"""Bytes of a packet's headers, rather many: what is more is data, which no probe of a port carries."""

EARLIER_SECONDS = 0.0015
"""Who was seen so much earlier was seen first: exporters round to milliseconds, twice."""

MARK = np.dtype(
    [
        ("live", "?"),
        ("open", "?"),  # not given out by `finish` yet
        ("unanswered", "?"),  # a TCP connection that waits for its first answer
        ("upper", "?"),  # the upper end is the initiator
        ("sure", "?"),  # of which: it has said so itself
        ("fate", "u1"),  # Fate of what the lower and (shifted) the upper end sent
        ("flow", "<i4"),  # number + 1 of the flow of this burst; 0: there is none
        ("beyond", "<f8"),  # last packet that a VFN behind a cable told of
    ]
)
"""What a table keeps of each slot beside its FLOW row."""

GATHERED = np.dtype(
    [
        ("slot", "<i8"),
        ("sample", "<i8"),  # one of its sides
        ("new", "?"),  # nothing of it is in the table
        ("fresh", "?"),  # a flow begins: `new`, or the slot's old flow is over
        ("turned", "?"),  # the end that was taken for the initiator is not
        ("changed", "?"),  # the initiator's packets pass that did not, or the reverse
        ("tcp", "?"),
    ]
)
"""A flow of a burst."""

HALF = np.dtype(
    [
        ("pkts", "<u8"),
        ("bytes", "<u8"),
        ("first", "<f8"),
        ("last", "<f8"),
        ("sample", "<i8"),  # one of its sides; -1: there is none
        ("flags", "u1"),
        ("fate", "u1"),
        ("answers", "?"),  # by what it is
    ]
)
"""What one end of such a flow has sent: the lower ends' at even numbers, the upper ends' behind them."""

_FORWARDED, _DROPPED = int(Fate.FORWARDED), int(Fate.DROPPED)
_DELIVERED, _STOPPED, _CUT = int(Fate.DELIVERED), int(Fate.STOPPED), int(Fate.CUT)
_ENTRY, _NIBBLE = _FORWARDED | _DROPPED, (1 << ANSWERS_SHIFT) - 1
_NEW, _FAILED, _FINAL = int(FlowState.NEW), int(FlowState.FAILED), int(FlowState.FINAL)
_ANSWERED_ONLY = int(FlowState.ANSWERED_ONLY)
_NONE, _ONE = np.uint64(0), np.uint64(1)


@compiled
def from_upper(side: Row) -> bool:
    """Does a side go from the upper end of its flow (by address, then port) to the lower one?"""
    if side.src_hi != side.dst_hi:
        return bool(side.src_hi > side.dst_hi)
    if side.src_lo != side.dst_lo:
        return bool(side.src_lo > side.dst_lo)
    return bool(side.src_port > side.dst_port)


@compiled
def key_of(side: Row, upper: bool, salt: np.uint64) -> np.uint64:
    """Key of a side's flow, the same for both directions."""
    if upper:
        key = mixed(mixed(mixed(salt, side.dst_hi), side.dst_lo), np.uint64(side.dst_port))
        key = mixed(mixed(mixed(key, side.src_hi), side.src_lo), np.uint64(side.src_port))
    else:
        key = mixed(mixed(mixed(salt, side.src_hi), side.src_lo), np.uint64(side.src_port))
        key = mixed(mixed(mixed(key, side.dst_hi), side.dst_lo), np.uint64(side.dst_port))
    return max(mixed(key, np.uint64(side.proto)), _ONE)


@compiled
def keys_of(sides: Array, salt: np.uint64) -> U8:
    """`key_of` each side."""
    keys = np.empty(len(sides), np.uint64)
    for i in range(len(sides)):
        keys[i] = key_of(sides[i], from_upper(sides[i]), salt)
    return keys


@compiled
def fate_after(known: int, told: int) -> int:
    """What is known of packets' fate (four flags of `Fate`) after one more report: the latest counts."""
    known, told = signed(known), signed(told)
    if told & _DROPPED:
        return int(_DROPPED)
    if told & _FORWARDED:
        known = (known & ~_DROPPED) | _FORWARDED
    if told & _DELIVERED:
        known = (known & ~_STOPPED) | _DELIVERED
    if told & _STOPPED:
        known = (known & ~_DELIVERED) | _STOPPED
    return known


@compiled
def turns(known: int, told: int) -> bool:
    """Does a report say the contrary of what was known?"""
    known, told = signed(known), signed(told)
    entry = (known & _ENTRY) | (told & _ENTRY) == _ENTRY
    later = (known & _DELIVERED and told & _STOPPED) or (known & _STOPPED and told & _DELIVERED)
    return bool(entry or later)


@compiled
def gather(
    sides: Array,
    begin: int,
    wanted: U8,
    most: int,
    keys: U8,
    used: int,
    rows: Array,
    marks: Array,
    gathered: Array,
    halves: Array,
) -> tuple[int, int, int]:
    """Sum sides from `begin` on by flow, and find a slot for each flow, as long as there are less than `most` in all.

    Args:
        wanted: keys of the sides.
        keys: of the table, of which `used` are taken.
        gathered: dtype GATHERED, a row for each flow; `halves` (dtype HALF) has two.

    Returns:
        Where in `sides` it stopped, how many flows there are, and how many keys are taken now.
    """
    places = np.empty(len(sides) - begin, np.int64)
    for i in range(len(places)):  # for itself, so that the processor waits for many at a time
        places[i] = place_of(keys, wanted[begin + i])
    flows, at = 0, begin
    while at < len(sides):
        place = places[at - begin]
        if keys[place] != wanted[at]:  # it was not there, or another one has taken its place since
            place = place_of(keys, wanted[at])
            if keys[place] == _NONE:
                if used == most:
                    break
                keys[place] = wanted[at]
                marks[place].live = False
                used += 1
        flow = marks[place].flow - 1
        side = sides[at]
        if flow < 0:
            flow = flows
            flows += 1
            marks[place].flow = flows
            gathered[flow].slot, gathered[flow].sample, gathered[flow].tcp = place, at, side.proto == TCP
            _clear(halves[2 * flow])
            _clear(halves[2 * flow + 1])
        _add(halves[2 * flow + (1 if from_upper(side) else 0)], side, at)
        at += 1
    for flow in range(flows):
        slot = gathered[flow].slot
        _compare(gathered[flow], rows[slot], marks[slot], halves[2 * flow], halves[2 * flow + 1])
    return at, flows, used


@compiled
def _clear(half: Row) -> None:
    half.pkts = half.bytes = _NONE
    half.first, half.last = np.inf, -np.inf
    half.flags = half.fate = 0
    half.answers, half.sample = False, -1


@compiled
def _add(half: Row, side: Row, at: int) -> None:
    half.pkts += side.pkts
    half.bytes += side.bytes
    half.first, half.last = min(half.first, side.first), max(half.last, side.last)
    half.flags |= side.flags
    half.fate = fate_after(half.fate, side.fate)
    half.answers |= side.answers
    half.sample = at


@compiled
def _compare(found: Row, row: Row, mark: Row, lower: Row, upper: Row) -> None:
    """Fill in what a flow of the burst is to the table."""
    found.new = not mark.live or row.src_pkts + row.dst_pkts == _NONE
    pause = min(lower.first, upper.first) - row.end
    asks = found.tcp and (lower.flags | upper.flags) & SYN != 0
    found.fresh = found.new or (asks and pause > REOPEN_SECONDS) or pause > IDLE_SECONDS
    found.turned = found.changed = False
    if found.fresh:
        return
    if mark.upper:
        _compare_ends(found, row, mark, upper, lower)
    else:
        _compare_ends(found, row, mark, lower, upper)


@compiled
def _compare_ends(found: Row, row: Row, mark: Row, opening: Row, other: Row) -> None:
    """Is the `opening` end the initiator still, and does what it sends fare as before?"""
    if not mark.sure:
        if row.src_pkts > _NONE and row.dst_pkts == _NONE and other.pkts > _NONE:
            found.turned = _says(found.tcp, other, row.start) > 0
        elif row.dst_pkts > _NONE and row.src_pkts == _NONE and opening.pkts > _NONE:
            # To SYN-ACKs alone a reset is no answer: it is what the initiator says that has forgotten its SYN.
            refuses = found.tcp and _accepting(row.flags) and opening.flags & SYN == 0
            found.turned = _says(found.tcp, opening, row.start) < 0 and not refuses
    known = signed(mark.fate) >> (ANSWERS_SHIFT if mark.upper else 0) & _NIBBLE
    found.changed = turns(known, opening.fate)


@compiled
def _says(tcp: bool, half: Row, start: float) -> int:
    """Is an end that is seen for the first time the initiator (1), is it the other (-1), or can nobody tell (0)?"""
    if tcp and half.flags & (SYN | ACK) == SYN:
        return 1
    if half.answers or (tcp and _answers(half)):
        return -1
    return _earlier(half.first, start)


@compiled
def _earlier(one: float, other: float) -> int:
    """1 where `one` is earlier, -1 where `other` is, 0 where that cannot be told."""
    if abs(one - other) < EARLIER_SECONDS:
        return 0
    return 1 if one < other else -1


@compiled
def _answers(half: Row) -> bool:
    """Is it a lone SYN-ACK, or a reset: what nobody opens a connection with?"""
    return bool((half.pkts == _ONE and half.flags & (SYN | ACK) == SYN | ACK) or half.flags & (RST | SYN) == RST)


@compiled
def _accepts(half: Row, other: Row) -> bool:
    """Is it nothing but SYN-ACKs, sent again perhaps? Who opens has an answer to its SYN before it acknowledges."""
    return bool(_accepting(half.flags) and other.flags & SYN == 0)


@compiled
def _accepting(flags: int) -> bool:
    """Are these the flags of SYN-ACKs alone?"""
    return bool(flags & (SYN | ACK | PSH | FIN | RST) == SYN | ACK)


@compiled
def _upper_opens(tcp: bool, side: Row, lower: Row, upper: Row) -> tuple[bool, bool]:
    """Is the upper end a flow's initiator, and has it, or the other one, said so itself? `side`: one of the flow's.

    In this order: who sent a SYN and no ACK; who did not send SYN-ACKs alone, to no SYN that was seen; who did not
    answer with a lone SYN-ACK, RST, ICMP reply or error; who was seen first; who talks to the lower port; who was seen
    at all.
    """
    lower_seen, upper_seen = lower.pkts > _NONE, upper.pkts > _NONE
    if tcp:
        lower_asks = lower_seen and lower.flags & (SYN | ACK) == SYN
        upper_asks = upper_seen and upper.flags & (SYN | ACK) == SYN
        if lower_asks != upper_asks:
            return upper_asks, True
        lower_accepts, upper_accepts = _accepts(lower, upper), _accepts(upper, lower)
        if lower_accepts != upper_accepts:
            return lower_accepts, lower_seen and upper_seen
    lower_answers = lower_seen and (lower.answers or (tcp and _answers(lower)))
    upper_answers = upper_seen and (upper.answers or (tcp and _answers(upper)))
    if lower_answers != upper_answers:
        return lower_answers, True
    first = _earlier(upper.first, lower.first) if lower_seen and upper_seen else 0
    if first != 0:
        return first > 0, False
    if side.src_port != side.dst_port:
        return from_upper(side) == (side.src_port > side.dst_port), False
    return upper_seen and not lower_seen, False


@compiled
def merge(sides: Array, flows: int, gathered: Array, halves: Array, rows: Array, marks: Array, events: Array) -> None:
    """Add gathered flows to the table; `events` (dtype FLOW) gets one for each."""
    for flow in range(flows):
        found, lower, upper = gathered[flow], halves[2 * flow], halves[2 * flow + 1]
        row, mark, event = rows[found.slot], marks[found.slot], events[flow]
        mark.flow = 0
        event.start, event.end = min(lower.first, upper.first), max(lower.last, upper.last)
        if found.fresh:
            mark.upper, mark.sure = _upper_opens(found.tcp, sides[found.sample], lower, upper)
            if not mark.live or mark.beyond < event.start:
                mark.fate = 0  # what was seen behind a cable was about another flow
        elif found.turned:
            mark.upper = not mark.upper
            _turn(row)
        mark.live = True
        if mark.upper:
            _fill(event, upper, lower)
            _name(event, sides[upper.sample if upper.sample >= 0 else lower.sample], upper.sample >= 0)
        else:
            _fill(event, lower, upper)
            _name(event, sides[lower.sample if lower.sample >= 0 else upper.sample], lower.sample >= 0)
        _merge_one(row, mark, event, found)
        _mark_fate(row, mark, lower.fate, upper.fate, found.fresh)


@compiled
def _fill(event: Row, opening: Row, other: Row) -> None:
    """Counters of a burst's part of a flow, as seen from its initiator."""
    event.src_pkts, event.src_bytes = opening.pkts, opening.bytes
    event.dst_pkts, event.dst_bytes = other.pkts, other.bytes
    event.flags = opening.flags | other.flags
    event.fate = signed(opening.fate) | signed(other.fate) << ANSWERS_SHIFT
    event.src_segment = event.dst_segment = 0
    event.risk = 0.0


@compiled
def _name(event: Row, side: Row, forward: bool) -> None:
    """The ends of a flow by one of its sides, which goes `forward`, from the initiator, or back."""
    event.proto = side.proto
    if forward:
        event.src_hi, event.src_lo, event.src_port, event.src_vm = side.src_hi, side.src_lo, side.src_port, side.src_vm
        event.dst_hi, event.dst_lo, event.dst_port, event.dst_vm = side.dst_hi, side.dst_lo, side.dst_port, side.dst_vm
        event.vfn, event.port = side.vfn, side.port
    else:
        event.src_hi, event.src_lo, event.src_port, event.src_vm = side.dst_hi, side.dst_lo, side.dst_port, side.dst_vm
        event.dst_hi, event.dst_lo, event.dst_port, event.dst_vm = side.src_hi, side.src_lo, side.src_port, side.src_vm
        event.vfn, event.port = -1, -1


@compiled
def _merge_one(row: Row, mark: Row, event: Row, found: Row) -> None:
    """Add an event to its flow, and set the marks of both."""
    begun = found.new or row.state & _FINAL != 0
    known = 0 if found.fresh else signed(row.state)
    if found.turned:
        known = known & ~_NEW
    if found.fresh:
        _copy(row, event)
    else:
        row.src_pkts += event.src_pkts
        row.dst_pkts += event.dst_pkts
        row.src_bytes += event.src_bytes
        row.dst_bytes += event.dst_bytes
        row.flags |= event.flags
        row.end, row.start = max(row.end, event.end), min(row.start, event.start)
        if event.src_pkts > _NONE:  # the port of the initiator is known now
            row.src_vm, row.vfn, row.port = event.src_vm, event.vfn, event.port
    sent = row.src_pkts > _NONE
    tcp = row.proto == TCP
    failed = tcp and sent and refused(row.flags, row.src_pkts, row.dst_pkts, row.src_bytes)
    has = (_NEW if sent else 0) | (_FAILED if failed else 0)
    unsent = 0 if sent else _ANSWERED_ONLY
    event.state = (has & ~known) | unsent
    row.state = has | (known & (_NEW | _FAILED)) | unsent
    if begun:
        mark.open = True
    if tcp and event.state & _NEW and row.dst_pkts == _NONE and not failed:
        mark.unanswered = True


@compiled
def refused(flags: Any, src_pkts: Any, dst_pkts: Any, src_bytes: Any) -> Any:
    """Reset before anything was exchanged (a TCP flow, or columns of them).

    What pushes data without a SYN, and is reset, is the end of a connection that was begun before: nobody was refused.
    """
    left = (flags & (SYN | PSH) == PSH) & (src_bytes > HEADERS * src_pkts)
    return (flags & RST != 0) & (src_pkts <= REFUSED_PACKETS) & (dst_pkts <= REFUSED_PACKETS) & ~left


@compiled
def _mark_fate(row: Row, mark: Row, lower: int, upper: int, fresh: bool) -> None:
    """Take over what is told of the packets' fate."""
    known = signed(mark.fate)
    before = known >> (ANSWERS_SHIFT if mark.upper else 0) & _NIBBLE
    upper = fate_after(known >> ANSWERS_SHIFT, upper)
    mark.fate = fate_after(known & _NIBBLE, lower) | upper << ANSWERS_SHIFT
    _tell_fate(row, mark, 0 if fresh else before)


@compiled
def _tell_fate(row: Row, mark: Row, before: int) -> None:
    """Write a slot's fate into its flow; `before`: what was known of the initiator's packets."""
    cut, fate = signed(row.fate) & _CUT, signed(mark.fate)
    if mark.upper:
        fate = (fate >> ANSWERS_SHIFT) | (fate & _NIBBLE) << ANSWERS_SHIFT
    if fate & (_DROPPED | _STOPPED) == 0:
        cut = 0
    elif before & _DELIVERED or (before & (_FORWARDED | _STOPPED) == _FORWARDED and fate & _DROPPED):
        cut = _CUT
    row.fate = fate | cut


@compiled
def _copy(row: Row, event: Row) -> None:
    row.start, row.end = event.start, event.end
    row.src_hi, row.src_lo, row.dst_hi, row.dst_lo = event.src_hi, event.src_lo, event.dst_hi, event.dst_lo
    row.src_pkts, row.dst_pkts, row.src_bytes, row.dst_bytes = (
        event.src_pkts, event.dst_pkts, event.src_bytes, event.dst_bytes,
    )  # fmt: skip
    row.src_port, row.dst_port, row.proto, row.flags = event.src_port, event.dst_port, event.proto, event.flags
    row.state, row.vfn, row.port = 0, event.vfn, event.port
    row.src_vm, row.dst_vm, row.src_segment, row.dst_segment = event.src_vm, event.dst_vm, 0, 0
    row.risk, row.fate = 0.0, 0


@compiled
def _turn(row: Row) -> None:
    """The other end is a flow's initiator."""
    row.src_hi, row.dst_hi = row.dst_hi, row.src_hi
    row.src_lo, row.dst_lo = row.dst_lo, row.src_lo
    row.src_port, row.dst_port = row.dst_port, row.src_port
    row.src_vm, row.dst_vm = row.dst_vm, row.src_vm
    row.src_pkts, row.dst_pkts = row.dst_pkts, row.src_pkts
    row.src_bytes, row.dst_bytes = row.dst_bytes, row.src_bytes
    row.vfn, row.port = -1, -1
    row.fate = 0


@compiled
def witness(
    sides: Array, begin: int, salt: np.uint64, most: int, keys: U8, used: int, rows: Array, marks: Array, changed: I8
) -> tuple[int, int, int]:
    """Find the slots of reports from behind cables, and which of them say the contrary of what was known.

    Returns:
        Where in `sides` it stopped for want of room, how many slots stand in `changed`, and how many keys are used.
    """
    at, found = begin, 0
    while at < len(sides):
        side = sides[at]
        upper = from_upper(side)
        key = key_of(side, upper, salt)
        place = place_of(keys, key)
        if keys[place] == _NONE:
            if used == most:
                break
            keys[place] = key
            used += 1
            row, mark = rows[place], marks[place]
            row.src_pkts = row.dst_pkts = _NONE
            row.end = side.last
            mark.live, mark.open, mark.unanswered, mark.fate, mark.beyond = True, False, False, 0, -np.inf
        mark = marks[place]
        if upper == mark.upper and rows[place].src_pkts > _NONE:
            known = (signed(mark.fate) >> (ANSWERS_SHIFT if upper else 0)) & _NIBBLE
            if turns(known, side.fate):
                changed[found] = place
                found += 1
        at += 1
    return at, found, used


@compiled
def take_witness(sides: Array, begin: int, end: int, salt: np.uint64, keys: U8, rows: Array, marks: Array) -> None:
    """Take over what `witness` has found slots for."""
    for at in range(begin, end):
        side = sides[at]
        upper = from_upper(side)
        place = place_of(keys, key_of(side, upper, salt))
        row, mark = rows[place], marks[place]
        seen = row.src_pkts + row.dst_pkts > _NONE
        if seen and side.last < row.start:
            continue  # about a forerunner on the same ports
        mark.beyond = max(mark.beyond, side.last)
        shift = ANSWERS_SHIFT if upper else 0
        fate = signed(mark.fate)
        before = (fate >> (ANSWERS_SHIFT if mark.upper else 0)) & _NIBBLE
        mine = fate_after((fate >> shift) & _NIBBLE, side.fate)
        mark.fate = (fate & (_NIBBLE << (ANSWERS_SHIFT - shift))) | mine << shift
        if seen:
            _tell_fate(row, mark, before)
        else:
            row.end = max(row.end, side.last)
