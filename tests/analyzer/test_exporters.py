"""Who may report: the kernel says whose a socket is, settings say which other machines."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import numpy as np
import pytest

from analyzer.exporters import RECHECK_SECONDS, Exporters, Owners, networks_of, reporting_uids
from runtime.errors import SettingsError

NOBODY = 65534
OTHER = IPv4Network("192.0.2.0/28")


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock


def made_by(uid: int, here: tuple[str, int] = ("127.0.0.1", 0)) -> socket.socket:
    """A socket that belongs to another user."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a socket for somebody else")
    os.seteuid(uid)
    try:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    finally:
        os.seteuid(0)
    sock.bind(here)
    return sock


@pytest.fixture
def exporters(receiver: socket.socket) -> Iterator[Callable[..., Exporters]]:
    """Makes them, for users."""
    with ExitStack() as stack:

        def make(*uids: int) -> Exporters:
            made = Exporters([1, 2], [OTHER], uids, receiver.getsockname())
            stack.callback(made.close)
            return made

        yield make


def trusted(of: Exporters, *senders: tuple[str, int], now: float = 0.0) -> list[bool]:
    addresses = np.array([int(IPv4Address(address)) for address, _ in senders], np.uint32)
    return of.trusted(addresses, np.array([port for _, port in senders], np.uint16), now).tolist()


def believed_and_gone(of: Exporters) -> tuple[str, int]:
    """Address of a sender that was believed at 0 s, and is no more."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("127.0.0.1", 0))
        here: tuple[str, int] = sender.getsockname()
        assert trusted(of, here, now=0.0) == [True]
    return here


def test_the_kernel_knows_whose_a_socket_is(receiver: socket.socket) -> None:
    """Connected to the receiver or not; nobody's where there is none."""
    owners = Owners()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("127.0.0.1", 0))
        here = sender.getsockname()
        assert owners.uid(here, receiver.getsockname()) == os.geteuid()
        sender.connect(receiver.getsockname())
        assert owners.uid(here, receiver.getsockname()) == os.geteuid()
    assert owners.uid(here, receiver.getsockname()) is None
    owners.close()


def test_a_stranger_of_this_machine_is_refused(exporters: Callable[..., Exporters]) -> None:
    """A socket of `nobody` may not report, one of a user who is named may."""
    with made_by(NOBODY) as forger:
        assert trusted(exporters(0), forger.getsockname()) == [False]
        assert trusted(exporters(NOBODY), forger.getsockname()) == [True]


def test_other_machines_are_named(exporters: Callable[..., Exporters]) -> None:
    """An address within the networks of the settings may report; any other not, from whatever port."""
    of = exporters(0)
    assert trusted(of, ("192.0.2.3", 7), ("192.0.2.77", 7), ("203.0.113.5", 2055)) == [True, False, False]
    assert of.strangers == 2


def test_a_port_may_change_hands(exporters: Callable[..., Exporters]) -> None:
    """What was found holds for a second: then the port's new owner counts."""
    of = exporters(os.geteuid())
    here = believed_and_gone(of)
    assert trusted(of, here, now=RECHECK_SECONDS / 2) == [True]
    assert trusted(of, here, now=RECHECK_SECONDS * 2) == [False]


def test_what_waits_of_a_sender_that_is_gone_counts(exporters: Callable[..., Exporters]) -> None:
    """For a second longer, if it was believed and the port is nobody's; not once it is a stranger's."""
    of = exporters(os.geteuid())
    here = believed_and_gone(of)
    for now in (1.0, 1.5, 1.9):
        assert trusted(of, here, now=now * RECHECK_SECONDS) == [True]
    with made_by(NOBODY, here):
        assert trusted(of, here, now=1.95 * RECHECK_SECONDS) == [False]
    assert of.strangers == 1


def test_only_vfns_of_the_inventory_are_known(exporters: Callable[..., Exporters]) -> None:
    """Engine numbers that no VFN has are counted."""
    of = exporters()
    assert of.known(np.array([1, 2, 3, 65535], np.uint16)).tolist() == [True, True, False, False]
    assert of.unknown_vfns == 2


def test_who_runs_the_switch_may_report(tmp_path: Path) -> None:
    """The owner of the database's socket, besides root and ourselves; a database elsewhere names nobody."""
    path = tmp_path / "db.sock"
    path.touch()
    if os.geteuid() == 0:
        os.chown(path, 777, 777)
        assert reporting_uids(f"unix:{path}") == {0, 777}
    assert reporting_uids("tcp:192.0.2.1:6640") == {0, os.geteuid()}


def test_a_setting_that_is_no_network_is_refused() -> None:
    """It is named, with what to do."""
    assert networks_of(("192.0.2.1", "198.51.100.0/24"))[0].num_addresses == 1
    with pytest.raises(SettingsError, match=r"netflow.exporters: .*300"):
        networks_of(("192.0.2.300",))
