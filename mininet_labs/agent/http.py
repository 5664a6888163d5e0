"""HTTP/1.1: `GET /N` answers N bytes."""

from __future__ import annotations

import random
import socket
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from mininet_labs.agent.frames import PATIENCE
from mininet_labs.agent.plan import Errand, Target

_BLOCK = random.Random(0).randbytes(1 << 16)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        """Send as many bytes as the path says."""
        try:
            left = int(self.path[1:])
        except ValueError:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(left))
        self.end_headers()
        while left > 0:
            self.wfile.write(_BLOCK[:left])
            left -= len(_BLOCK)

    def log_message(self, *_: object) -> None:
        """The journal is kept by the client."""


class HttpServer(ThreadingHTTPServer):
    """Listens on IPv4 and IPv6."""

    address_family = socket.AF_INET6
    request_queue_size = 128

    def __init__(self, port: int) -> None:
        super().__init__(("::", port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is the client's business."""


def fetch(errand: Errand, target: Target, rng: random.Random) -> None:
    """A few pages over one connection.

    Raises:
        OSError: it did not work.
    """
    connection = HTTPConnection(target.address, errand.port, timeout=PATIENCE)
    try:
        for _ in range(rng.randint(*errand.count)):
            size = rng.randint(*errand.bytes)
            connection.request("GET", f"/{size}")
            got = len(connection.getresponse().read())
            if got != size:
                raise ConnectionError(f"{got} of {size} bytes came")
    except HTTPException as error:
        raise ConnectionError(repr(error)) from error
    finally:
        connection.close()
