"""A day of a small company, compressed: learned, judged, attacked, released. NetFlow in, proposals out."""

import shutil
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.copies import body_of, copy_of
from support.telemetry import START, SYN, Exporters, Talk, inventory, ports, refused, workload

from analyzer.live import Live
from analyzer.netflow import decode
from runtime.channel import Message
from runtime.settings import AnalyzerSettings, Settings

LEARN = 45.0
BEGIN = START + 8
"""When attacks begin."""
NET = inventory()


@dataclass
class Day:
    """What came of a day: (time, message data) of proposals and detections."""

    live: Live
    proposals: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    detections: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    barred: list[dict[str, Any]] = field(default_factory=list)
    """Rows of `ordinary_denied`."""
    _clock: float = START

    def pass_(self, talks: list[Talk], until: float, seed: int = 1, accept: bool = True) -> None:
        """Let NetFlow of `talks` come in until a time; proposals are accepted at once, or nobody answers."""
        for sent, datagram in [*Exporters(NET, seed).datagrams(talks), (until, b"")]:
            while self._clock < min(sent, until):
                self._take(self._clock, self.live.tick(self._clock, self._clock), accept)
                self._clock += 1
                if self.live.phase == "fitting":
                    self.live.learning.wait()
            if sent < until:
                self._take(sent, self.live.take_records(decode([datagram]).records, sent), accept)

    def _take(self, now: float, messages: Iterable[Message], accept: bool) -> None:
        for message in messages:
            if message.kind == "detection":
                self.detections.append((now, dict(message.data)))
                continue
            if message.kind == "ordinary_denied":
                self.barred += message.data["flows"]
                continue
            self.proposals.append((now, dict(message.data)))
            if accept:
                self.tell("decided", now, rule="r", proposal=message.data["proposal"], state="installing", reason="")

    def tell(self, kind: str, now: float, **data: Any) -> None:
        """A message from the engine."""
        self.live.take_from_engine(Message(kind, data), now)

    def isolated(self, vm: str, now: float) -> None:
        """The engine says that this VM, or nobody (""), is isolated."""
        rules = [{"id": "r", "action": "isolate", "source_vm": vm, "scope": "all", "source_ip": None}] if vm else []
        self.tell("rules", now, rules=rules)

    def accused(self) -> list[str]:
        """Whom proposals were about, in order; steps up the ladder are one."""
        return [next(iter(who)) for who in self._climbs()]

    def _climbs(self) -> list[dict[str, str]]:
        climbs: list[dict[str, str]] = []
        for _, data in self.proposals:
            who = data.get("source_vm") or data["source_ip"]
            if climbs and climbs[-1].get(who) == "restrict" and data["action"] == "isolate":
                climbs[-1][who] = "isolate"
            else:
                climbs.append({who: data["action"]})
        return climbs


def new_day(folder: Path) -> Day:
    live = Live(Settings(state_dir=folder, analyzer=AnalyzerSettings(learn_seconds=LEARN)), NET)
    for name, vfn in NET.vfns.items():
        live.attribution.set_ports(vfn.dpid, ports(NET, name))
    return Day(live)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a baseline of 45 s of work."""
    folder = tmp_path_factory.mktemp("day")
    day = new_day(folder)
    day.pass_(workload(START, START + LEARN + 5, 1), START + LEARN + 5)
    assert day.live.phase == "judging"
    day.live.learning.close()
    return folder


@pytest.fixture
def day(learned: Path) -> Iterator[Day]:
    """A day that begins with the learned baseline."""
    made = new_day(learned)
    assert made.live.phase == "judging"
    yield made
    made.live.learning.close()


def scan(source: str = "web1", begin: float = BEGIN, count: int = 1500, rate: float = 300) -> list[Talk]:
    """Nmap through the db segment: refused everywhere."""
    return [refused(begin + i / rate, source, f"db{i % 3 + 1}", 1 + i // 3, 33000 + i) for i in range(count)]


def guess(source: str = "web2", begin: float = BEGIN, count: int = 250) -> list[Talk]:
    """25 short SSH sessions a second against one machine."""
    return [Talk(begin + i / 25, source, "db1", 22, 33000 + i, 6, 0.03, 10, 120, 10, 140) for i in range(count)]


def push(source: str = "web3", begin: float = BEGIN) -> list[Talk]:
    """28 MB to a stranger in ten seconds."""
    return [Talk(begin, source, "stranger", 443, 50000, 6, 10, 20_000, 1400, 10_000, 66)]


@pytest.mark.slow
def test_ordinary_work_is_left_alone(day: Day) -> None:
    """Two minutes of the workload that was learned, drawn anew: nobody is proposed for anything."""
    day.pass_(workload(START, START + 120, 99), START + 120)
    assert day.proposals == []


@pytest.mark.parametrize(
    ("attack", "vm", "behaviour", "seconds"),
    [(scan, "web1", "scan", 2.2), (guess, "web2", "brute-force", 3.2), (push, "web3", "outbound-volume", 6.2)],
)
def test_attacks_are_proposed_in_time_with_reasons(
    day: Day, attack: Any, vm: str, behaviour: str, seconds: float
) -> None:
    """The attacker, and nobody else, is proposed for isolation soon, with numbers in plain words."""
    day.pass_([*workload(START, BEGIN + 20, 5), *attack()], BEGIN + 20)
    assert day.accused() == [vm]
    when, proposal = day.proposals[-1]
    assert 0 < when - BEGIN <= seconds
    assert (proposal["action"], proposal["scope"], proposal["segment"]) == ("isolate", "all", "web")
    assert proposal["risk"] >= 50
    assert proposal["reasons"][0].startswith(behaviour.replace("-", " "))
    assert any(data["behaviour"] == behaviour and data["vm"] == vm for _, data in day.detections)
    assert proposal["evidence_time"] <= when


def test_a_first_step_leaves_a_vm_its_known_peers(day: Day) -> None:
    """A blatant scan is restricted to whom the VM talked to while it was learned, and isolated when it goes on."""
    day.pass_([*workload(START, BEGIN + 10, 5), *scan()], BEGIN + 10)
    steps = [data for _, data in day.proposals]
    assert [step["action"] for step in steps] == ["restrict", "isolate"]
    peers = steps[0]["peers"]
    nets = {peer["net"] for peer in peers}
    known = {vm.segment for vm in NET.vms.values() if nets & set(map(str, vm.addresses))}
    assert "app" in known
    assert not {peer["net"] for peer in peers if peer["protocol"] == "tcp"} & {f"10.0.3.{i}" for i in (1, 2, 3)}
    assert "peers" not in steps[1]


def test_who_comes_to_rest_under_a_step_is_told(day: Day) -> None:
    """Once, `calm_seconds` after the last finding."""
    rule = {"id": "r", "action": "restrict", "source_vm": "web1", "scope": "all", "source_ip": None}
    day.tell("rules", BEGIN, rules=[rule])
    told = [m for second in range(320) for m in day.live.tick(BEGIN + second, BEGIN + second) if m.kind == "calm"]
    assert [(m.data["vm"], m.data["since"]) for m in told] == [("web1", BEGIN)]


def test_ordinary_flows_that_are_dropped_are_told(day: Day) -> None:
    """Queries as they were learned are; a service nobody used, what passes, and what a scanner tries are not."""
    queries = [
        Talk(BEGIN + i / 2, "app1", "db1", 5432, 40000 + i, 6, 0.01, 2, 74, 0, 0, SYN, 0, dropped=True)
        for i in range(12)
    ]
    logins = [
        Talk(BEGIN + i, "app2", "db1", 22, 41000 + i, 6, 0.01, 2, 74, 0, 0, SYN, 0, dropped=True) for i in range(3)
    ]
    day.pass_([*workload(START, BEGIN + 9, 5), *queries, *logins], BEGIN + 9)
    assert {(row["source_vm"], row["destination_vm"], row["port"]) for row in day.barred} == {("app1", "db1", 5432)}
    assert sum(row["flows"] for row in day.barred) == 12
    assert day.proposals == []


def test_first_contact_alone_only_alerts(day: Day) -> None:
    """A small talk with a stranger is told, not acted on."""
    talk = Talk(BEGIN, "web3", "stranger", 443, 50000, 6, 1, 20, 300, 20, 600)
    day.pass_([*workload(START, BEGIN + 10, 5), talk], BEGIN + 10)
    assert day.proposals == []
    assert {(d["vm"], d["behaviour"]) for _, d in day.detections} == {("web3", "first-contact")}


def test_the_forged_one_is_not_punished(day: Day) -> None:
    """web4 scans under app1's address: web4 is proposed, app1, which only gets the replies, is not."""
    forged = [
        Talk(
            BEGIN + i / 200, "web4", f"db{i % 3 + 1}", 1 + i // 3, 33000 + i, 6, 0.001, 1, 74, 0, 0, SYN, 0, "10.0.2.5"
        )
        for i in range(800)
    ]
    replies = [
        Talk(BEGIN + i / 200, f"db{i % 3 + 1}", "app1", 33000 + i, 1 + i // 3, 6, 0.001, 1, 54, 0, 0, 20, 0)
        for i in range(800)
    ]
    day.pass_([*workload(START, BEGIN + 10, 5), *forged, *replies], BEGIN + 10)
    assert day.accused() == ["web4"]
    assert day.proposals[0][1]["reasons"][0].startswith("spoofing")


def test_victims_of_a_flood_are_not_punished(day: Day) -> None:
    """A SYN flood from thousands of forged outside addresses onto web1 leads to no rule about anybody."""
    flood = [
        Talk(
            BEGIN + i / 1000,
            "stranger",
            "web1",
            80,
            1024 + i % 60000,
            6,
            0.001,
            1,
            60,
            1,
            60,
            SYN,
            18,
            f"198.51.{i % 100}.{i // 100}",
        )
        for i in range(5000)
    ]
    day.pass_([*workload(START, BEGIN + 10, 5), *flood], BEGIN + 10)
    assert day.proposals == []


def test_an_outside_scanner_is_denied(day: Day) -> None:
    """A stranger that scans inward is proposed for denial by address; its victims are not touched."""
    inward = [refused(BEGIN + i / 100, "stranger", f"web{i % 4 + 1}", 1 + i // 4, 33000 + i) for i in range(800)]
    day.pass_([*workload(START, BEGIN + 10, 5), *inward], BEGIN + 10)
    assert day.accused() == ["203.0.113.66"]
    assert day.proposals[0][1]["action"] == "deny"


def test_an_isolated_vm_is_not_proposed_again_nor_are_its_peers(day: Day) -> None:
    """While web1 is cut off it may rage on, and others may fail to reach it: nothing more is proposed."""
    begin = BEGIN + 5
    lost = [
        Talk(begin + i / 20, f"app{i % 4 + 1}", "web1", 1000 + i, 40000 + i, 6, 0.001, 1, 74, 0, 0, SYN, 0)
        for i in range(400)
    ]
    day.pass_([*workload(START, BEGIN + 25, 5), *scan(), *lost], BEGIN + 4)
    day.isolated("web1", BEGIN + 4)
    assert day.accused() == ["web1"]
    day.pass_([*scan(begin=BEGIN + 4), *lost], BEGIN + 25)
    assert day.accused() == ["web1"]


@pytest.mark.slow
def test_a_released_vm_starts_afresh_and_is_caught_again(day: Day) -> None:
    """Release wipes what was held against a VM; ordinary work stays free, a new attack is seen by itself."""
    day.pass_([*workload(START, BEGIN + 6, 5), *scan()], BEGIN + 6)
    day.isolated("web1", BEGIN + 6)
    day.isolated("", BEGIN + 20)
    day.pass_(workload(BEGIN + 20, BEGIN + 35, 6), BEGIN + 35)
    assert day.accused() == ["web1"]
    again = BEGIN + 37
    day.pass_([*workload(BEGIN + 35, again + 10, 7), *scan(begin=again)], again + 10)
    assert day.accused() == ["web1", "web1"]
    assert day.proposals[1][0] - again <= 2.2


def test_unanswered_proposals_are_asked_again(day: Day) -> None:
    """Without an answer the highest step that was proposed stays outstanding, once, and is repeated as it was."""
    day.pass_([*workload(START, BEGIN + 8, 5), *scan()], BEGIN + 8, accept=False)
    assert day.accused() == ["web1"]
    assert [dict(m.data) for m in day.live.outstanding()] == [day.proposals[-1][1]]


def test_flows_are_remembered_for_questions(day: Day) -> None:
    """Flows of a VM come newest first, seen from who opened them, each VM-to-VM flow once."""
    day.pass_([refused(BEGIN, "web1", "db1", 99, 33000), Talk(BEGIN + 1, "app1", "web1", 80, 40000)], BEGIN + 9)
    rows = [day.live.names.flow(row) for row in day.live.table.newest(NET.vms["web1"].number, 10).rows]
    assert [(r["src_vm"], r["dst_vm"], r["dst_port"], r["failed"]) for r in rows] == [
        ("app1", "web1", 80, False),
        ("web1", "db1", 99, True),
    ]
    assert (rows[0]["src_pkts"], rows[0]["dst_pkts"], rows[0]["proto"]) == (6, 5, "tcp")


def test_records_from_the_future_stop_no_clock(day: Day) -> None:
    """A VFN whose clock is a year ahead is counted and left out; a scan seen by the others is proposed in time."""
    ahead = [Talk(BEGIN + 31e6, "web4", "app1", 80, 40000)]
    for _, datagram in Exporters(NET).datagrams(ahead):
        list(day.live.take_records(decode([datagram]).records, START))
    assert day.live.misdated == 6
    day.pass_([*workload(START, BEGIN + 5, 5), *scan()], BEGIN + 5)
    assert day.accused() == ["web1"]
    assert day.proposals[0][0] - BEGIN <= 2.2


def test_learning_waits_for_its_sign(tmp_path: Path) -> None:
    """With `learn_when` set, learning begins when the file appears and traffic comes, not before."""
    sign = tmp_path / "go"
    analyzer = AnalyzerSettings(learn_seconds=5, learn_when=sign)
    live = Live(Settings(state_dir=tmp_path, analyzer=analyzer), NET)
    for name, vfn in NET.vfns.items():
        live.attribution.set_ports(vfn.dpid, ports(NET, name))
    day = Day(live)
    talks = workload(START, START + 30, 3)
    day.pass_(talks, START + 8)
    assert live.phase == "waiting"
    sign.touch()
    day.pass_([t for t in talks if t.start > START + 8], START + 12)
    assert live.phase == "learning"
    day.pass_([t for t in talks if t.start > START + 12], START + 30)
    assert live.phase == "judging"
    live.learning.close()


def test_a_changed_baseline_is_not_loaded(learned: Path, tmp_path: Path) -> None:
    """When the saved model does not match its manifest the analyzer says so and learns anew."""
    shutil.copytree(learned, tmp_path, dirs_exist_ok=True)
    with (tmp_path / "models" / "000001" / "baseline.joblib").open("ab") as model:
        model.write(b"x")
    live = Live(Settings(state_dir=tmp_path), NET)
    assert live.phase == "waiting"
    assert "does not match its manifest" in live.learning.problem
    live.learning.close()


def test_a_scan_is_proposed_from_copies_alone(day: Day) -> None:
    """Two slices of copies on top of ordinary work: proposed long before NetFlow tells of the scan."""
    day.pass_(workload(START, BEGIN, 7), BEGIN)
    web1, vfn = NET.vms["web1"], NET.vfns[NET.vms["web1"].vfn]
    port = ports(NET, vfn.name)[web1.port]
    source, targets = web1.addresses[0].packed, [NET.vms[f"db{i}"].addresses[0].packed for i in (1, 2, 3)]
    for number in range(130):
        ip = bytes([0x45, *bytes(8), 6, *bytes(2)]) + source + targets[number % 3]
        tcp = struct.pack("!HHIIBBHI", 33_000, 1 + number // 3, 0, 0, 0x50, SYN, 1024, 0)
        head = bytes(12) + b"\x08\x00" + ip + tcp
        day.live.take_copies(vfn.dpid, 1, body_of(copy_of(head, port, BEGIN + number / 1000)))
    (first, *_) = [message.data for message in day.live.feed_copies() if message.kind == "propose"]
    assert (first["source_vm"], first["evidence_time"] - BEGIN < 0.2) == ("web1", True)
    assert first["reasons"][0].startswith("scan: tried")
