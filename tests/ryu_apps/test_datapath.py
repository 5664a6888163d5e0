"""Waiting for the data path: the switch daemon's command socket."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.control import bridges

from runtime.errors import TransientError
from ryu_apps.datapath import wait_until_followed

RUN_DIR = Path("/var/run/openvswitch")


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
                    connection.sendall(reply[9:])

        thread = threading.Thread(target=serve)
        thread.start()
        yield asked
        thread.join(5)


def test_two_passes_are_awaited(tmp_path: Path) -> None:
    """The pass that is under way may have begun before the change; the one after it has not."""
    done = b'{"id":0,"result":"","error":null}'
    with daemon(tmp_path, done, done) as asked:
        wait_until_followed(tmp_path)
    assert [json.loads(request)["method"] for request in asked] == ["revalidator/wait"] * 2


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b'{"id":0,"result":null,"error":"can\'t wait on multiple udpifs."}', "refuses revalidator/wait: can't wait"),
        (b'"what?"                  ', "answers"),
        (b"", "closed the connection"),
    ],
)
def test_a_refusal_is_told(tmp_path: Path, reply: bytes, words: str) -> None:
    """What the daemon says is in the error."""
    with daemon(tmp_path, reply), pytest.raises(TransientError, match=words):
        wait_until_followed(tmp_path)


def test_without_a_daemon_it_says_what_to_do(tmp_path: Path) -> None:
    """No process id, a wrong one, and a dead socket."""
    with pytest.raises(TransientError, match="start Open vSwitch"):
        wait_until_followed(tmp_path)
    (tmp_path / "ovs-vswitchd.pid").write_text("77\n")
    with pytest.raises(TransientError, match="does not answer"):
        wait_until_followed(tmp_path)


@pytest.mark.ovs
def test_open_vswitch_answers_within_two_passes() -> None:
    """An idle switch begins a pass every half second."""
    with bridges("tl8"):
        started = time.monotonic()
        wait_until_followed(RUN_DIR)
        assert time.monotonic() - started < 5
