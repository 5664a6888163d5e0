"""A small time-series database that does as it is told: takes points, refuses them, half of them, or breaks off."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Reply:
    """What becomes of a request."""

    status: int = 204
    text: str = ""
    takes: bool | None = None
    """Are its lines kept? None: with a status of 2xx."""
    headers: Mapping[str, str] = field(default_factory=dict)
    breaks: bool = False
    """Is the connection closed instead of an answer?"""


Script = Callable[[list[str]], Reply]


@dataclass
class Database:
    """What came in."""

    url: str
    kept: list[str] = field(default_factory=list)
    """Lines, as often as they were taken."""
    requests: list[tuple[str, Mapping[str, list[str]], Mapping[str, str], int]] = field(default_factory=list)
    """(path, query, headers, lines) of each request."""
    script: Script = lambda _: Reply()
    date: str = ""
    """What it says the time is; empty: as it is."""


@contextmanager
def database() -> Iterator[Database]:
    """A server on a free port; set `script` to have it misbehave."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            lines = body.split("\n")
            parts = urlsplit(self.path)
            found.requests.append((parts.path, parse_qs(parts.query), dict(self.headers), len(lines)))
            reply = found.script(lines)
            if reply.takes if reply.takes is not None else reply.status < 300:
                found.kept += lines
            if reply.breaks:
                self.close_connection = True
                return
            self.send_response(reply.status)
            text = reply.text.encode()
            for name, value in {"Content-Length": str(len(text)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return found.date or super().date_time_string(timestamp)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Database(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
