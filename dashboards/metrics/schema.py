"""What is written to the time-series database: every measurement, tag and field. `docs/metrics.md` is made of this.

Numbers are those of an interval (`metrics.interval_seconds`), never running totals, so that they can be added up over
time and over tags. A 5-tuple, an outside address or a rule of the moment is never a tag: what stands in tags is named
by the inventory, by the policy, or is one of a few words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from dashboards.queries import ACTING_RISK

PREFIX = "dynseg_"
NODE = "node"
"""A tag of every point: two nodes may tell of the same segments at the same moment."""


class Kind(StrEnum):
    """Type of a field."""

    INTEGER = "integer"
    FLOAT = "float"
    TEXT = "text"
    """Left out where the database keeps numbers only (VictoriaMetrics would make a series of zeros of it)."""


class Rollup(StrEnum):
    """What stands for several intervals; as InfluxQL and Flux call it."""

    SUM = "sum"
    MAX = "max"
    MIN = "min"
    LAST = "last"


@dataclass(frozen=True)
class Field:
    """A number or text of a point."""

    name: str
    meaning: str
    unit: str = ""
    kind: Kind = Kind.INTEGER
    rollup: Rollup = Rollup.SUM


@dataclass(frozen=True)
class Measurement:
    """Points that look alike."""

    name: str
    meaning: str
    tags: Mapping[str, str]
    """By name, and what they can be; `node` is one of every measurement."""
    fields: tuple[Field, ...]
    many: str
    """How many sets of tags there are, in words."""

    @property
    def full_name(self) -> str:
        """As the database knows it."""
        return PREFIX + self.name

    @property
    def has_texts(self) -> bool:
        """Is it of events? They are few, and stay as they were written."""
        return any(field.kind is Kind.TEXT for field in self.fields)


def _count(name: str, meaning: str, unit: str = "") -> Field:
    return Field(name, meaning, unit)


def _gauge(name: str, meaning: str, unit: str = "", kind: Kind = Kind.INTEGER) -> Field:
    return Field(name, meaning, unit, kind, Rollup.LAST)


def _longest(name: str, meaning: str) -> Field:
    return Field(name, meaning, "s", Kind.FLOAT, Rollup.MAX)


def _seconds(name: str, meaning: str) -> Field:
    return Field(name, meaning, "s", Kind.FLOAT, Rollup.SUM)


def _text(name: str, meaning: str) -> Field:
    return Field(name, meaning, "", Kind.TEXT, Rollup.LAST)


SEGMENT = "a segment of the inventory, or `outside`"
DECISION = "`allowed`, `denied` or `unknown` ([archive.md](archive.md))"

FLOWS = Measurement(
    "flows",
    "Flows between segments. A packet counts once, in the interval in which a VFN reported it.",
    {
        "src_segment": f"of whoever opened the flow: {SEGMENT}; `group`: multicast and the like",
        "dst_segment": "the same, of the other end",
        "service": "protocol and port of the other end, as in `tcp/443`, if it is one of `metrics.services`; else "
        "`tcp/other`, `udp/other`, `icmp`, `other`",
        "decision": DECISION,
    },
    (
        _count("flows", "flows that began", "flows"),
        _count("packets", "sent by whoever opened the flow", "packets"),
        _count("bytes", "the same", "bytes"),
        _count("reply_packets", "sent by the other end", "packets"),
        _count("reply_bytes", "the same", "bytes"),
        _count("failed", "TCP connections that were refused at once or never answered", "flows"),
    ),
    "pairs of segments that exchange packets x services x decisions; never more than `metrics.most_pairs`",
)
VM = Measurement(
    "vm",
    "What a VM exchanged, and its risk. There is a point for each interval in which it sent, received or had risk, and "
    "one of zeros after it.",
    {"vm": "a VM of the inventory", "segment": "its segment", "vfn": "its VFN"},
    (
        _count("flows_out", "flows that it opened", "flows"),
        _count("flows_in", "flows that were opened towards it", "flows"),
        _count("packets_out", "sent by it, as opener or answering", "packets"),
        _count("packets_in", "sent to it", "packets"),
        _count("bytes_out", "sent by it", "bytes"),
        _count("bytes_in", "sent to it", "bytes"),
        _count("denied_out", "of `flows_out`, those that were denied", "flows"),
        _count("denied_in", "of `flows_in`, those that were denied", "flows"),
        _count("failed", "of its TCP connections, those refused at once or never answered", "flows"),
        Field("risk", "highest risk of the interval, 0 to 100", "risk", Kind.FLOAT, Rollup.MAX),
    ),
    "VMs",
)
SEGMENTS = Measurement(
    "segment",
    "What the VMs of a segment exchanged, together, and the highest of their risks.",
    {"segment": "a segment of the inventory"},
    (
        *VM.fields,
        _gauge("at_risk", f"VMs with a risk of {ACTING_RISK} or more", "VMs"),
    ),
    "segments",
)
VFN = Measurement(
    "vfn",
    "What came in at a VFN.",
    {"vfn": "a VFN of the inventory; `-`: not known", "decision": DECISION},
    (
        _count("flows", "flows that began there", "flows"),
        _count("packets", "of both directions", "packets"),
        _count("bytes", "the same", "bytes"),
    ),
    "VFNs x decisions",
)
VERDICTS = Measurement(
    "verdicts",
    "Verdicts of the analyzer.",
    {
        "behaviour": "of the verdict: what may lead to most, and of that the strongest; or `unusual`",
        "segment": f"of the subject: {SEGMENT}",
        "confirmed": "`yes`: confirmed often enough to act upon; `no`",
    },
    (
        _count("verdicts", "how many", "verdicts"),
        Field("risk", "highest, 0 to 100", "risk", Kind.FLOAT, Rollup.MAX),
    ),
    "behaviours x segments where they were seen x 2",
)
OUTSIDE = Measurement(
    "outside",
    "Outside addresses that are thought ill of, together.",
    {},
    (
        _gauge("subjects", "addresses with a risk of 1 or more", "addresses"),
        Field("risk", "highest, 0 to 100", "risk", Kind.FLOAT, Rollup.MAX),
    ),
    "1",
)
RULES = Measurement(
    "rules",
    "Rules that are not over. What was there once is told with 0 from then on.",
    {
        "action": "`isolate`, `restrict`, `rate_limit`, `steer`, `deny`, `allow`",
        "mode": "`enforce`, `observe`, `propose`",
        "state": "of its life cycle: `installing`, `enforced` ...",
        "issuer": "`analyzer`, `person`, `policy`",
    },
    (_gauge("rules", "how many", "rules"),),
    "combinations that occur, some tens",
)
RULE_HITS = Measurement(
    "rule_hits",
    "What rules have met, by the switches' counters.",
    {
        "rule": "name of a rule of the policy; a segment with a default; `(isolate)` ...: all rules of the moment with "
        "that action",
        "kind": "`policy`, `default`, `segmentation`",
        "action": "as of rules; `deny` of a default",
        "mode": "`enforce`, `observe`",
    },
    (
        _count("allowed", "let through", "packets"),
        _count("denied", "dropped", "packets"),
        _count("answers", "let through as answers to what the rule allows", "packets"),
        _count("observed", "would have been dropped, were the rule enforced", "packets"),
        _count("allowed_bytes", "let through", "bytes"),
        _count("denied_bytes", "dropped", "bytes"),
        _count("answers_bytes", "let through as answers", "bytes"),
        _count("observed_bytes", "would have been dropped", "bytes"),
    ),
    "rules of the policy + segments that deny by default + actions, as far as they have met something",
)
ENFORCEMENT = Measurement(
    "enforcement",
    "How the entries in a VFN stand to the rules.",
    {"vfn": "a VFN of the inventory"},
    (
        Field("connected", "1: to its controller, 0: not", "", Kind.INTEGER, Rollup.MIN),
        Field("in_sync", "1: holds just what it shall, as last read back", "", Kind.INTEGER, Rollup.MIN),
        Field("enforced_ratio", "part of the entries it shall hold that is there, 0 to 1", "", Kind.FLOAT, Rollup.MIN),
        _gauge("entries", "it shall hold", "entries"),
        _gauge("rules", "segmentation rules that concern it", "rules"),
        _count("pushes", "bundles and urgent sends that it confirmed", "pushes"),
        _seconds("push_seconds", "from sending to the barrier's answer, summed up over pushes"),
        _longest("push_seconds_max", "of the slowest push"),
        _count("lost_entries", "found missing or altered", "entries"),
        _count("strange_entries", "found that nobody here put there", "entries"),
        _count("failures", "sends that were refused or not answered", "sends"),
    ),
    "VFNs",
)
RULE_TIMES = Measurement(
    "rule_times",
    "How long it took until a rule was seen to be enforced in all its VFNs, or to be gone.",
    {"action": "as of rules", "change": "`enforced`, `removed`"},
    (
        _count("rules", "that came to it", "rules"),
        _seconds("seconds", "since the rule was issued, or ended; summed up"),
        _longest("seconds_max", "of the slowest"),
    ),
    "actions x 2",
)
AUDIT = Measurement(
    "audit",
    "Rows of the audit log.",
    {
        "kind": "`detection`, `admitted`, `refused` ... ([architecture.md](architecture.md))",
        "by": "`engine`, `analyzer`, `person`",
    },
    (_count("rows", "how many", "rows"),),
    "kinds x who wrote them, some tens",
)
FEEDBACK = Measurement(
    "feedback",
    "What people say about the analyzer: rules of its that somebody released as a false alarm.",
    {"behaviour": "what the rule answered; `person`: it was no rule of the analyzer's"},
    (_count("false_alarms", "how many", "rules"),),
    "behaviours that somebody called a false alarm",
)
EVENTS = Measurement(
    "events",
    "What graphs are annotated with. The time of the point is the event's own.",
    {
        "kind": "`isolation`, `restriction`, `denial`, `observation` (what an observed rule would do), `release`, "
        "`policy`, `drift`, `failure`, `harm`, `process`",
        "vm": "if it is about one",
        "segment": "of that VM",
        "vfn": "if it is about one",
    },
    (
        _text("title", "in a few words"),
        _text("text", "why, or what"),
        _text("rule", "id of the rule, name of the audit log's rows about it"),
        _text("actor", "who did it"),
        _count("events", "always 1", "events"),
    ),
    "kinds x VMs or VFNs that something happened to",
)
DETECTION = Measurement(
    "detection",
    "How far the traffic of a segment has moved from what was learned.",
    {"segment": "a segment of the inventory"},
    (
        _gauge("drift", "part of its flows and windows that the baseline finds unusual", "", Kind.FLOAT),
        _gauge("changed_vms", "VMs of it that behave otherwise than learned", "VMs"),
    ),
    "segments with enough traffic",
)
LEARNING = Measurement(
    "learning",
    "The baseline that judges.",
    {},
    (
        Field("judging", "1: there is a baseline, 0: it is still being learned", "", Kind.INTEGER, Rollup.MIN),
        _gauge("samples", "clean flows that wait to be learned from", "flows"),
        _gauge("left_out", "flows that were not, as somebody was under suspicion", "flows"),
    ),
    "1",
)
TELEMETRY = Measurement(
    "telemetry",
    "What reached the analyzer, and what did not.",
    {},
    (
        _count("datagrams", "of NetFlow and IPFIX", "datagrams"),
        _count("records", "in them", "records"),
        _count("rubbish", "datagrams that are no telemetry", "datagrams"),
        _count("strangers", "datagrams of senders that may not report", "datagrams"),
        _count("shed", "flow events that could not be judged in time; all are counted and recorded", "events"),
        _count("misdated", "records from the future, left out", "records"),
        _count("copies", "first packets that came", "packets"),
        _count("copies_dropped", "first packets for which there was no room on the way", "packets"),
        _count("archived", "flows put into the archive", "flows"),
        _count("archive_dropped", "flows for which the archive had no room", "flows"),
        _count("intervals_dropped", "intervals of this database that nobody fetched in time", "intervals"),
        _longest("delay_seconds", "from a datagram's receipt to the end of its judgement, p99 of a minute"),
        _longest("delay_seconds_max", "the longest of a minute"),
    ),
    "1",
)
TELEMETRY_LOSS = Measurement(
    "telemetry_loss",
    "Records that VFNs sent and that did not arrive, by the gaps in their sequence numbers.",
    {"vfn": "a VFN of the inventory"},
    (_count("lost", "how many", "records"),),
    "VFNs that ever lost some",
)
PROCESS = Measurement(
    "process",
    "The processes of a node.",
    {"process": "`control`, `engine`, `analyzer`, `metrics`"},
    (
        Field("up", "1: it answered, 0: not", "", Kind.INTEGER, Rollup.MIN),
        _seconds("cpu_seconds", "processor time spent"),
        _gauge("memory_bytes", "resident", "bytes"),
        _gauge("uptime_seconds", "since its start", "s", Kind.FLOAT),
        _gauge("starts", "how often control has started it", "starts"),
        _longest("lag_seconds", "longest time that something ready had to wait: of control's hub"),
        _gauge("waiting", "messages or points that wait in its queues", ""),
    ),
    "4",
)
WRITER = Measurement(
    "writer",
    "The writing of these points themselves.",
    {},
    (
        _count("written", "points that the database has confirmed", "points"),
        _count("bytes", "the same, as line protocol", "bytes"),
        _count("refused", "points that the database would not have", "points"),
        _count("dropped", "points for which there was no room while it was away", "points"),
        _count("retries", "sends that had to be repeated", "sends"),
        _gauge("waiting", "points that wait to be written", "points"),
        _longest("write_seconds_max", "of the slowest confirmed send"),
        _gauge("clock_offset_seconds", "the database's clock less ours", "s", Kind.FLOAT),
    ),
    "1",
)

MEASUREMENTS = (
    FLOWS, VM, SEGMENTS, VFN, VERDICTS, OUTSIDE, RULES, RULE_HITS, ENFORCEMENT, RULE_TIMES, AUDIT, FEEDBACK, EVENTS,
    DETECTION, LEARNING, TELEMETRY, TELEMETRY_LOSS, PROCESS, WRITER,
)  # fmt: skip
BY_NAME = {measurement.full_name: measurement for measurement in MEASUREMENTS}
