"""Two ends that talk by numbered datagrams at 1 kHz each way, and account for every one of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from topology.model import Vm

PORT = 7000
_PROGRAM = """
import json, select, socket, struct, sys, time
own, other, opens = sys.argv[1], sys.argv[2], sys.argv[3] == "opens"
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
sock.bind((own, 7000))
sock.setblocking(False)
print("ready", flush=True)
sent, got, talking, end = 0, set(), opens, None
turn = time.monotonic()
while end is None or time.monotonic() < end:
    if time.monotonic() >= turn:
        turn += 0.001
        if talking and end is None:
            sock.sendto(struct.pack("!I", sent), (other, 7000))
            sent += 1
    ready = select.select([sock] + ([sys.stdin] if end is None else []), [], [], max(0.0, turn - time.monotonic()))[0]
    while sock in ready:
        try:
            got.add(struct.unpack("!I", sock.recv(64))[0])
        except BlockingIOError:
            break
        talking = True
        end = end and time.monotonic() + 1.0
    if sys.stdin in ready:
        end = time.monotonic() + 1.0
print(json.dumps({"sent": sent, "got": len(got)}))
"""
"""The end that opens talks at once, the other when it has heard something; a line on stdin ends the talk, when
nothing has come for a second."""


@dataclass
class Talk:
    """What has become of the datagrams, when it is over."""

    sent: dict[str, int] = field(default_factory=dict)
    """By the name of the end that sent them."""
    lost: dict[str, int] = field(default_factory=dict)
    """Of those, how many never arrived."""


@contextmanager
def talking(opening: Vm, answering: Vm) -> Iterator[Talk]:
    """A talk between two VMs, each in the namespace that is called as its port, for as long as the block lasts."""
    addresses = [str(end.addresses[0]) for end in (opening, answering)]
    running: list[subprocess.Popen[str]] = []
    talk = Talk()
    try:
        first, second = addresses
        for end, own, other, role in ((answering, second, first, "answers"), (opening, first, second, "opens")):
            command = ("ip", "netns", "exec", end.port, sys.executable, "-c", _PROGRAM, own, other, role)
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            running.append(process)
            assert _line(process) == "ready\n"
        yield talk
        for process in running:
            assert process.stdin is not None
            print(file=process.stdin, flush=True)
        counts = [json.loads(_line(process)) for process in running]
    finally:
        for process in running:
            process.kill()
            process.communicate()
    for mine, its, end in ((counts[1], counts[0], opening), (counts[0], counts[1], answering)):
        talk.sent[end.name] = mine["sent"]
        talk.lost[end.name] = mine["sent"] - its["got"]


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()
