"""What the switch daemon is asked by its command socket: passes, and limits of connections."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ryu.lib import hub
from support.control import bridges
from support.datapath import appctl, spoil, works
from support.namespaces import inside, pair, port

from runtime.errors import TransientError
from ryu_apps.datapath import limit_connections, wait_for_pass
from ryu_apps.passes import Passes

RUN_DIR = Path("/var/run/openvswitch")
DONE = b'{"id":0,"result":"","error":null}'


@contextmanager
def daemon(folder: Path, *replies: bytes) -> Iterator[list[bytes]]:
    """The other end of a command socket: one connection for each reply, which it sends in two pieces."""
    (folder / "ovs-vswitchd.pid").write_text("77\n")
    asked: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "ovs-vswitchd.77.ctl"))
        listener.listen()

        def serve() -> None:
            for reply in replies:
                with listener.accept()[0] as connection:
                    asked.append(connection.recv(4096))
                    connection.sendall(reply[:9])
                    with contextlib.suppress(BrokenPipeError):  # who was refused may hang up at the first piece
                        connection.sendall(reply[9:])

        thread = threading.Thread(target=serve)
        thread.start()
        yield asked
        thread.join(5)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b'{"id":0,"result":null,"error":"can\'t wait on multiple udpifs."}', "refuses revalidator/wait: can't wait"),
        (b'"what?"                  ', "answers"),
        (b"", "closed the connection"),
    ],
)
def test_a_refusal_is_told(tmp_path: Path, reply: bytes, words: str) -> None:
    """What the daemon says is in the error, also for those who wait for passes."""
    with daemon(tmp_path, reply), pytest.raises(TransientError, match=words):
        wait_for_pass(tmp_path)
    (tmp_path / "ovs-vswitchd.77.ctl").unlink()
    with daemon(tmp_path, reply), pytest.raises(TransientError, match=words):
        Passes(tmp_path).wait()


def test_without_a_daemon_it_says_what_to_do(tmp_path: Path) -> None:
    """No process id, a wrong one, and a dead socket."""
    with pytest.raises(TransientError, match="start Open vSwitch"):
        wait_for_pass(tmp_path)
    (tmp_path / "ovs-vswitchd.pid").write_text("77\n")
    with pytest.raises(TransientError, match="does not answer"):
        wait_for_pass(tmp_path)


def test_all_who_wait_share_two_passes(tmp_path: Path) -> None:
    """The pass that is under way may have begun before the change; the one after it has not. Later ones wait anew."""
    passes = Passes(tmp_path)
    with daemon(tmp_path, *[DONE] * 4) as asked:
        hub.joinall([hub.spawn(passes.wait) for _ in range(3)])
        assert [json.loads(request)["method"] for request in asked] == ["revalidator/wait"] * 2
        passes.wait()
        assert len(asked) == 4


def test_decisions_are_made_anew_once_for_all_who_want_it(tmp_path: Path) -> None:
    """When the passes are over; where the switch refuses, those who wait are told."""
    passes = Passes(tmp_path)
    with daemon(tmp_path, *[DONE] * 3) as asked:
        hub.joinall([hub.spawn(passes.wait, anew=anew) for anew in (True, False, True)])
    assert [json.loads(request)["method"] for request in asked] == ["revalidator/wait"] * 2 + ["revalidator/purge"]
    (tmp_path / "ovs-vswitchd.77.ctl").unlink()
    refusal = b'{"id":0,"result":null,"error":"not now"}'
    with daemon(tmp_path, DONE, DONE, refusal), pytest.raises(TransientError, match="revalidator/purge: not now"):
        passes.wait(anew=True)


@pytest.mark.ovs
def test_a_decision_that_passes_do_not_mend_is_made_anew() -> None:
    """The data path drops what the tables let pass, and the revalidators believe that it does not."""
    with pair("dc", {"a": ("10.9.8.1", "02:00:00:00:d8:01"), "b": ("10.9.8.2", "02:00:00:00:d8:02")}):
        ping = inside("dc", "a", "ping", "-c", "2", "-i", "0.2", "-W", "1", "10.9.8.2")
        assert works(*ping)
        spoil(port("dc", "a"))
        Passes(RUN_DIR).wait()
        assert not works(*ping)
        Passes(RUN_DIR).wait(anew=True)
        assert works(*ping)


@pytest.mark.ovs
def test_open_vswitch_answers_within_two_passes() -> None:
    """An idle switch begins a pass every half second."""
    with bridges("tl8"):
        started = time.monotonic()
        Passes(RUN_DIR).wait()
        assert time.monotonic() - started < 5


@pytest.mark.ovs
def test_limits_of_connections_are_set_where_they_are_otherwise() -> None:
    """Zones that have the limit already are left alone, as are all others."""
    path, zones = "netdev@ovs-netdev", range(61_001, 61_004)
    with bridges("tl8"):
        try:
            assert limit_connections(RUN_DIR, path, zones[:1], 7) == 1
            assert limit_connections(RUN_DIR, path, zones, 7) == 2
            assert limit_connections(RUN_DIR, path, zones, 7) == 0
            assert limit_connections(RUN_DIR, path, zones, 8) == 3
            listed = appctl("dpctl/ct-get-limits", path, "zone=61001,61003,61004").splitlines()
            assert [line.split(",")[:2] for line in listed[1:]] == [
                ["zone=61001", "limit=8"],
                ["zone=61003", "limit=8"],
                ["zone=61004", "limit=0"],
            ]
        finally:
            appctl("dpctl/ct-del-limits", path, "zone=61001,61002,61003")
