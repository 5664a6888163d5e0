"""Ryu 4.34 as `pip install -r requirements.txt` brings it: plain `ryu-manager` works, REST and WebSocket too."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import httpx
import pytest

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def backend(root_dir: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("ryu_backend", root_dir / "deploy" / "ryu" / "backend.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture(scope="module")
def rest_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A plain ryu-manager with Ryu's own REST and WebSocket applications; its HTTP port."""
    port, log = free_port(), tmp_path_factory.mktemp("ryu") / "log"
    command = [str(BIN / "ryu-manager"), "--ofp-listen-host", "127.0.0.1", "--ofp-tcp-listen-port", str(free_port())]
    command += ["--wsapi-host", "127.0.0.1", "--wsapi-port", str(port), "ryu.app.ofctl_rest", "ryu.app.ws_topology"]
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except ConnectionRefusedError:
            time.sleep(0.05)
    yield port
    process.terminate()
    process.wait(20)


def test_ryu_manager_says_its_version() -> None:
    """The console script runs."""
    done = subprocess.run([BIN / "ryu-manager", "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert "4.34" in done.stdout + done.stderr


def test_rest_answers(rest_port: int) -> None:
    """An application on Ryu's WSGI answers over HTTP."""
    answer = httpx.get(f"http://127.0.0.1:{rest_port}/stats/switches", timeout=10, trust_env=False)
    assert (answer.status_code, answer.json()) == (200, [])


def test_websockets_open_and_close_cleanly(rest_port: int) -> None:
    """The mended place: after a WebSocket the server says goodbye and adds no second HTTP response."""
    with socket.create_connection(("127.0.0.1", rest_port), timeout=10) as sock:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = ["GET /v1.0/topology/ws HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", ""]
        sock.sendall("\r\n".join(lines).encode())
        assert sock.recv(4096).startswith(b"HTTP/1.1 101 ")
        sock.sendall(b"\x88\x80\0\0\0\0")  # a masked close frame
        rest = b""
        while chunk := sock.recv(4096):
            rest += chunk
    assert rest[:1] == b"\x88"
    assert b"HTTP/" not in rest


def test_another_source_is_not_mended(backend: ModuleType, tmp_path: Path) -> None:
    """If the sdist were not the one this was written for, the build stops instead of shipping it unmended."""
    file = tmp_path / "wsgi.py"
    file.write_text("nothing known")
    with pytest.raises(SystemExit, match=r"4\.34 only"):
        backend.mend(file)
    file.write_text("class A:\n" + backend.GONE)
    backend.mend(file)
    assert "import ALREADY_HANDLED" not in file.read_text()


@pytest.mark.slow
def test_the_wheel_builds_and_its_record_is_right(root_dir: Path, tmp_path: Path) -> None:
    """Built without pip's cache from the upstream sdist: mended, and every file as its RECORD says."""
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-cache-dir", "--wheel-dir", str(tmp_path)]
    done = subprocess.run(
        [*command, str(root_dir / "deploy" / "ryu")], capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("ryu-4.34-*.whl")
    with zipfile.ZipFile(wheel) as files:
        record = files.read("ryu-4.34.dist-info/RECORD").decode().splitlines()
        for name, digest, size in (line.rsplit(",", 2) for line in record):
            if digest:
                content = files.read(name)
                urlsafe = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
                assert (f"sha256={urlsafe}", str(len(content))) == (digest, size), name
        assert b"WSGI_LOCAL.already_handled = True" in files.read("ryu/app/wsgi.py")
