"""What goes wrong in a run without anybody attacking: a bad policy, a process that dies, rubbish that comes in."""

from __future__ import annotations

import random
import socket
import struct
import time

from mininet_labs.children import wait_for
from mininet_labs.errors import LabError
from mininet_labs.judge import ANALYZER_KILLED, HARM_TAKEN_BACK, Finding
from mininet_labs.product import Product
from mininet_labs.run import LabRun

RETURN_LIMIT = 30.0
"""Seconds within which a killed analyzer has to judge again."""
RUBBISH = 200
HARMFUL = """
  - name: close-the-old-port
    action: deny
    from: {segment: web}
    to: {segment: app}
    service: [{protocol: tcp, ports: [8080]}]
    tier: operator
    comment: nobody should need this any more
"""
"""What somebody adds to the rules of the policy: the web tier builds every page by it."""
BARRED = ("pages", "pages6")
"""Errands that it bars."""
HARM_SECONDS = 10.0
"""From the flow that used the budget up to the read-back of the policy that was in force before."""
HARM_LIMIT = 45.0
"""The same from the moment when somebody pushed it, in which the flows have to come first."""


def push_harmful_policy(run: LabRun) -> Finding:
    """Add a rule that bars what the baseline knows as ordinary; it has to be taken back without anybody's doing."""
    product = run.product
    before = product.ask("GET", "/policy")
    pushed = time.time()
    product.ask("PUT", "/policy", {"text": before["text"].rstrip("\n") + HARMFUL, "reason": "tidying up"})
    run.moment("a person pushes a rule that bars the web tier's pages")
    try:
        wait_for("the policy before is back", lambda: _taken_back(product, before["version"]), HARM_LIMIT, 0.1)
    except LabError as error:
        return Finding(HARM_TAKEN_BACK, False, str(error))
    finally:
        run.barred(BARRED, pushed, time.time() + 1.0)
    now = product.ask("GET", "/policy")
    (row,) = (row["body"] for row in product.audit() if row["kind"] == "harm")
    seconds = now["enforced_at"] - row["last"]
    missed = ", ".join(row["missed_by"])
    words = (
        f"{row['flows']} ordinary flows of {missed} dropped (budget {row['budget']}); the policy before was enforced"
        f" {seconds:.1f} s later (asked: {HARM_SECONDS:.0f} s), {now['enforced_at'] - pushed:.1f} s after the push"
    )
    run.moment(f"the engine takes it back: {words}")
    same = now["text"] == before["text"] and now["actor"] == "engine" and bool(row["examples"])
    return Finding(HARM_TAKEN_BACK, same and seconds <= HARM_SECONDS, words)


def _taken_back(product: Product, version: int) -> bool:
    now = product.ask("GET", "/policy")
    return bool(now["version"] == version + 2 and now["state"] == "enforced")


def kill_analyzer(run: LabRun) -> Finding:
    """End the analyzer with KILL; the policy has to stay in force, and the analyzer to come back and judge."""
    product = run.product
    before = _in_force(product)
    run.note_risk()
    pid = product.kill_analyzer()
    killed = time.monotonic()
    run.moment(f"analyzer (process {pid}) killed with -9")
    meanwhile = _in_force(product)
    try:
        wait_for("the analyzer judges again", lambda: _judges_anew(product, pid), RETURN_LIMIT, 0.1)
    except LabError as error:
        return Finding(ANALYZER_KILLED, False, str(error))
    seconds = time.monotonic() - killed
    run.moment(f"analyzer back and judging after {seconds:.1f} s")
    kept = before == meanwhile == _in_force(product)
    words = f"{len(before)} rules in force {'all the time' if kept else 'were not kept'}; judging again after"
    return Finding(ANALYZER_KILLED, kept, f"{words} {seconds:.1f} s from its saved baseline")


def send_rubbish(run: LabRun) -> Finding:
    """Send datagrams to the NetFlow collector that are no NetFlow; it has to count them and go on."""
    product = run.product
    where = (product.settings.netflow.listen, product.settings.netflow.port)
    pid, counted = product.analyzer_pid(), _rubbish(product)
    # The collector asks whose the sending socket is: it stays open, as a switch's does.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for datagram in _datagrams():
            sock.sendto(datagram, where)
        run.moment(f"{RUBBISH} rubbish datagrams sent to the NetFlow collector")
        try:
            wait_for("rubbish counted", lambda: _rubbish(product) >= counted + RUBBISH, 5.0, 0.1)
        except LabError as error:
            return Finding("rubbish NetFlow", False, f"{error}: {_rubbish(product) - counted} of {RUBBISH}")
    same = product.analyzer_pid() == pid and product.phase() == "judging"
    return Finding("rubbish NetFlow", same, f"{RUBBISH} datagrams of rubbish counted, the analyzer goes on")


def _datagrams() -> list[bytes]:
    """Noise, empty datagrams, another version's header, and v5 headers that promise more than there is."""
    rng = random.Random(5)
    kinds = (
        lambda: rng.randbytes(rng.randint(1, 1400)),
        lambda: b"",
        lambda: struct.pack("!HH", 9, 1) + rng.randbytes(60),
        lambda: struct.pack("!HH", 5, 30) + rng.randbytes(20 + 48 * rng.randint(0, 29)),
        lambda: struct.pack("!HH", 5, 1) + rng.randbytes(20 + rng.randint(1, 47)),
    )
    return [kinds[number % len(kinds)]() for number in range(RUBBISH)]


def _in_force(product: Product) -> set[str]:
    return {rule["id"] for rule in product.rules() if rule["state"] == "enforced"}


def _judges_anew(product: Product, dead: int) -> bool:
    return product.analyzer_pid() not in (None, dead) and product.phase() == "judging"


def _rubbish(product: Product) -> int:
    return int(product.status()["analyzer"]["rubbish"])
