"""Which flows wait in vain for an answer, where VFNs do not say what became of them."""

from __future__ import annotations

import numpy as np

from analyzer.flows import ACK, FIN, FLOW, SYN, Array, Fate, FlowState, address_halves
from analyzer.unanswered import REPORT_SECONDS, Unanswered

NOW = 1_800_000_000.0
OVER = NOW + 1.0 + REPORT_SECONDS


def event(port: int = 40_000, sent: int = 1, got: int = 0, at: float = NOW, flags: int = SYN, **more: object) -> Array:
    """What came of a connection over IPv6 since its last event."""
    row = np.zeros(1, FLOW)
    row["src_hi"], row["src_lo"] = address_halves("2001:db8::1")
    row["dst_hi"], row["dst_lo"] = address_halves("2001:db8::2")
    row["src_port"], row["dst_port"], row["proto"], row["flags"] = port, 5432, 6, flags
    row["start"] = row["end"] = at
    row["src_pkts"], row["dst_pkts"] = sent, got
    for name, value in more.items():
        row[name] = value
    return row


def waiting(*batches: Array) -> Unanswered:
    made = Unanswered(7, report_seconds=1.0)
    for batch in batches:
        made.take(batch)
    return made


def ports(found: Array) -> list[int]:
    return sorted(found["src_port"].tolist())


def test_who_is_not_answered_in_time_is_told_once() -> None:
    """Not before the other direction's report was due; what is asked again meanwhile is the same flow."""
    made = waiting(event(), event(at=NOW + 0.5), event(40_001, at=NOW + 5))
    assert ports(made.over(OVER - 0.1)) == []
    assert ports(made.over(OVER)) == [40_000]
    assert ports(made.over(OVER + 4)) == []
    assert ports(made.over(OVER + 5)) == [40_001]


def test_an_answer_ends_the_waiting() -> None:
    """In a later report or in the same batch, ahead of the question or behind it, whoever is taken to have opened."""
    answer = event(sent=0, got=1, flags=SYN | ACK)
    turned = event(sent=1, got=1)
    for end in ("hi", "lo", "port"):
        turned[f"src_{end}"], turned[f"dst_{end}"] = turned[f"dst_{end}"].copy(), turned[f"src_{end}"].copy()
    for later in (answer, turned):
        assert ports(waiting(event(), later).over(OVER)) == []
    assert ports(waiting(np.concatenate([event(), answer])).over(OVER)) == []
    assert ports(waiting(np.concatenate([answer, event()])).over(OVER)) == []


def test_who_was_answered_once_and_is_not_any_more_waits() -> None:
    """As where a rule cuts a connection: it sends, and nothing comes back."""
    made = waiting(event(sent=5, got=5, flags=ACK), event(sent=2, at=NOW + 3, flags=ACK))
    assert ports(made.over(OVER + 3)) == [40_000]


def test_what_asks_for_nothing_does_not_wait() -> None:
    """The end of a connection, a forged packet, an answer, a copy of a packet whose report is to come."""
    states = (FlowState.SPOOFED, FlowState.ANSWERED_ONLY, FlowState.ASKED)
    rows = [event(sent=2, flags=FIN | ACK), *(event(state=state) for state in states), event(sent=0)]
    assert ports(waiting(*rows).over(OVER)) == []


def test_what_vfns_tell_of_is_left_to_them() -> None:
    """IPv4, and whatever they say the fate of."""
    four = event()
    four["src_hi"], four["src_lo"] = address_halves("192.0.2.1")
    assert ports(waiting(four, event(fate=Fate.FORWARDED)).over(OVER)) == []
