"""What a restriction leaves a VM is what it exchanged packets with while the baseline was learned."""

import numpy as np

from analyzer.flows import TCP, UDP, FlowBatch, address_halves
from analyzer.peers import MOST_CLIENTS, Peer, Peers, exchanges


def flow(src: str, src_vm: int, dst: str, dst_vm: int, port: int, proto: int = TCP, answered: bool = True):
    """One event."""
    row = FlowBatch.empty(1).rows
    row["src_hi"], row["src_lo"] = address_halves(src)
    row["dst_hi"], row["dst_lo"] = address_halves(dst)
    row["src_vm"], row["dst_vm"], row["proto"], row["dst_port"] = src_vm, dst_vm, proto, port
    row["src_pkts"], row["dst_pkts"] = 3, 2 * answered
    return row


def of(vm: int, *flows: np.ndarray) -> set[Peer]:
    """What is left to a VM after these."""
    peers = Peers()
    for each in flows:
        peers.add(exchanges(each))
    assert set(Peers(peers.rows()).of(vm)) == set(peers.of(vm))
    return set(peers.of(vm))


def test_both_ends_of_an_exchange_know_each_other() -> None:
    """The one by the service that it used, the other by the service that it gave."""
    web = flow("10.0.0.1", 1, "10.0.0.2", 2, 8080)
    assert of(1, web) == {Peer("10.0.0.2", "tcp", 8080)}
    assert of(2, web) == {Peer("10.0.0.1", "tcp", 8080)}
    assert of(3, web) == set()


def test_who_never_answered_is_nobodys_peer() -> None:
    """A question alone makes no peer, and the same exchange counts once."""
    names = flow("10.0.0.1", 1, "fd00::53", 0, 53, UDP)
    assert of(1, flow("10.0.0.1", 1, "10.0.0.9", 9, 22, answered=False), names, names) == {Peer("fd00::53", "udp", 53)}


def test_who_serves_many_serves_everybody() -> None:
    """Of its family only; what it uses itself stays by address."""
    crowd = [flow(f"10.0.1.{i}", 0, "10.0.0.2", 2, 443) for i in range(MOST_CLIENTS + 1)]
    six = flow("fd00::7", 7, "fd00::2", 2, 443)
    used = flow("10.0.0.2", 2, "10.0.3.1", 3, 5432)
    expected = {Peer("0.0.0.0/0", "tcp", 443), Peer("fd00::7", "tcp", 443), Peer("10.0.3.1", "tcp", 5432)}
    assert of(2, *crowd, six, used) == expected
