"""`python -m benchmarks.vfn.connections serve PORT | open ADDRESS PORT COUNT`: short TCP connections.

A connection: the client sends 100 bytes, the server answers 200 and closes. `open` keeps `PARALLEL` of them under way,
ends when all are over, and prints how many seconds that took; it fails when one does not come about. `serve` prints
`ready` and serves until TERM.
"""

from __future__ import annotations

import argparse
import selectors
import socket
import time
from collections.abc import Sequence
from ipaddress import ip_address

PARALLEL = 32
BACKLOG = 4096
PATIENCE_SECONDS = 5.0
_REQUEST, _ANSWER = bytes(100), bytes(200)
_SIZE = 4096


def serve(port: int) -> None:
    """Answer everybody."""
    listener = socket.create_server(("::", port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True)
    listener.setblocking(False)
    with selectors.EpollSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        print("ready", flush=True)
        while True:
            for key, _ in selector.select():
                assert isinstance(key.fileobj, socket.socket)
                if key.fileobj is listener:
                    _welcome(listener, selector)
                else:
                    selector.unregister(key.fileobj)
                    _answer(key.fileobj)


def _welcome(listener: socket.socket, selector: selectors.EpollSelector) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return  # none is waiting, or the one that was has gone away
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ)


def _answer(connection: socket.socket) -> None:
    with connection:
        try:
            if connection.recv(_SIZE):
                connection.sendall(_ANSWER)
        except OSError:
            return  # reset by a client that has ended: there is nobody to answer


class Opener:
    """Opens connections to one server, `PARALLEL` at a time."""

    def __init__(self, address: str, port: int) -> None:
        self._family = socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6
        self._server = (address, port)
        self._selector = selectors.EpollSelector()

    def run(self, count: int) -> float:
        """Open so many, wait until the server has closed each; returns the seconds.

        Raises:
            OSError: one was refused or broke.
            TimeoutError: nothing happened for too long.
        """
        begin = time.monotonic()
        waiting, under_way = count, 0
        while waiting or under_way:
            while waiting and under_way < PARALLEL:
                self._start()
                waiting, under_way = waiting - 1, under_way + 1
            events = self._selector.select(PATIENCE_SECONDS)
            if not events:
                raise TimeoutError(f"{under_way} connections do not go on, {waiting} are still to come")
            under_way -= sum(self._go_on(key) for key, _ in events)
        return time.monotonic() - begin

    def _start(self) -> None:
        connection = socket.socket(self._family, socket.SOCK_STREAM)
        connection.setblocking(False)
        connection.connect_ex(self._server)
        self._selector.register(connection, selectors.EVENT_WRITE)

    def _go_on(self, key: selectors.SelectorKey) -> bool:
        """The next step of a connection; True: it is over."""
        connection = key.fileobj
        assert isinstance(connection, socket.socket)
        if key.events == selectors.EVENT_WRITE:
            connection.sendall(_REQUEST)
            self._selector.modify(connection, selectors.EVENT_READ)
            return False
        if connection.recv(_SIZE):
            return False
        self._selector.unregister(connection)
        connection.close()
        return True


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve, or open."""
    parser = argparse.ArgumentParser()
    modes = parser.add_subparsers(dest="mode", required=True)
    modes.add_parser("serve").add_argument("port", type=int)
    opening = modes.add_parser("open")
    opening.add_argument("address")
    opening.add_argument("port", type=int)
    opening.add_argument("count", type=int)
    args = parser.parse_args(arguments)
    if args.mode == "serve":
        serve(args.port)
    else:
        print(f"{Opener(args.address, args.port).run(args.count):.6f}")


if __name__ == "__main__":
    main()
