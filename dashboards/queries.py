"""What dashboards, the report, the tests and the benchmark ask a server of metrics: InfluxQL, each query once.

Macros and variables are those of `dashboards.influxql`. Three variables choose how fine points are: `$policy`, the
retention policy they are read from, `$seconds`, the length of an interval, and `$pairs`, the measurement with what went
between segments; all follow from the range that is looked at (`dashboards.resolutions`). `$coarse` is the policy that
goes back the furthest. Counts stand for an interval each, so a rate is their sum over `$seconds`.
"""

from __future__ import annotations

NOTEWORTHY_RISK = 20
"""A VM that stays below has no lane in a graph of risks."""
FAIR_RISK, ACTING_RISK, GRAVE_RISK = 40, 65, 85
"""Steps of risk, as every page colours them. The second is the least that a rule is made for (docs/detection.md)."""
_AT = '$timeFilter AND "node" =~ /^$node$/'
_STEP = "time(${seconds}s)"


PAIR_POINTS = "${pairs}"
"""In the place of a measurement: the coarsest that tells pairs of segments apart."""


def _from(measurement: str) -> str:
    name = measurement if measurement.startswith("$") else f"dynseg_{measurement}"
    return f'FROM "${{policy}}"."{name}" WHERE {_AT}'


def course(
    what: str, measurement: str, by: str = "", where: str = "", *, gaps: str = "none", rate: bool = False
) -> str:
    """One value for each interval, and for each set of tags in `by` a series.

    Args:
        what: an aggregate, `sum("bytes")`.
        measurement: its name without the prefix.
        by: tags, comma-separated and quoted.
        where: a further condition.
        gaps: of intervals without a point: `none`, or `0` for counts.
        rate: divided by the seconds of an interval.
    """
    value = f"{what} / $seconds" if rate else what
    tags = f", {by}" if by else ""
    condition = f" AND {where}" if where else ""
    return f'SELECT {value} AS "value" {_from(measurement)}{condition} GROUP BY {_STEP}{tags} fill({gaps})'


def whole(what: str, measurement: str, by: str = "", where: str = "") -> str:
    """One row for each set of tags in `by` over the whole range; `what` names its columns."""
    tags = f" GROUP BY {by}" if by else ""
    condition = f" AND {where}" if where else ""
    return f"SELECT {what} {_from(measurement)}{condition}{tags}"


def largest(what: str, measurement: str, by: str, many: int, where: str = "") -> str:
    """The sets of tags with the largest values, with these: columns `largest` and the tags."""
    inner = whole(f'{what} AS "value"', measurement, by, where)
    return f'SELECT top("value", {by}, {many}) AS "largest" FROM ({inner})'


def now(field: str, measurement: str, where: str = "") -> str:
    """The sum of the latest values of all series."""
    latest = stands(f'last("{field}") AS "latest"', measurement, "*", where)
    return f'SELECT sum("latest") AS "value" FROM ({latest})'


def stands(what: str, measurement: str, by: str, where: str = "") -> str:
    """One row for each set of tags in `by`: how it stood last; `what` are `last` of fields.

    Of the default retention policy, which has every point as long as it has any; the last of them is later than the
    begin of its five minutes, so their coarse point, which tells the worst of them and comes a minute late, counts only
    where no fine point is left.
    """
    condition = f" AND {where}" if where else ""
    name = f'"dynseg_{measurement}"'
    return f'SELECT {what} FROM {name}, "${{coarse}}".{name} WHERE {_AT}{condition} GROUP BY {by}'


# ------------------------------------------------------------------------------------------------------------ variables
NODES = 'SHOW TAG VALUES FROM "dynseg_process" WITH KEY = "node"'
SEGMENTS = 'SHOW TAG VALUES FROM "dynseg_vm" WITH KEY = "segment"'
VMS = 'SHOW TAG VALUES FROM "dynseg_vm" WITH KEY = "vm" WHERE "segment" =~ /^$segment$/'
VFNS = 'SHOW TAG VALUES FROM "dynseg_enforcement" WITH KEY = "vfn"'

# ----------------------------------------------------------------------------------------------------------------- risk
HIGHEST_RISK = whole('max("risk") AS "value"', "segment")
_NOTEWORTHY, _ACTING = f'"risk" >= {NOTEWORTHY_RISK}', f'"risk" >= {ACTING_RISK}'
RISKS = course('max("risk")', "vm", '"vm"', _NOTEWORTHY)
_RISK_OF_EACH = whole('max("risk") AS "value"', "vm", '"vm"', _ACTING)
VMS_AT_RISK = f'SELECT count("value") AS "value" FROM ({_RISK_OF_EACH})'
VERDICTS = course('sum("verdicts")', "verdicts", '"behaviour"', gaps="0")
VERDICTS_CONFIRMED = course('sum("verdicts")', "verdicts", '"confirmed"', gaps="0")
OUTSIDE = course('max("subjects")', "outside")

# -------------------------------------------------------------------------------------------------------------- traffic
_PAIR = '"src_segment", "dst_segment"'
_PASSED, _DENIED = "\"decision\" != 'denied'", "\"decision\" = 'denied'"
FLOWS_BY_DECISION = course('sum("flows")', "vfn", '"decision"', gaps="0", rate=True)
FLOWS_DENIED = whole('sum("flows") AS "value"', PAIR_POINTS, where=_DENIED)
BYTES_BY_SEGMENT = course('sum("bytes_out")', "segment", '"segment"', gaps="0", rate=True)
FAILED_BY_SEGMENT = course('sum("failed")', "segment", '"segment"', gaps="0")
TALKERS = largest('sum("bytes")', PAIR_POINTS, _PAIR, 20, _PASSED)
PAIRS = whole('sum("flows") AS "flows", sum("bytes") AS "bytes"', PAIR_POINTS, _PAIR, _PASSED)
PAIRS_DENIED = whole('sum("flows") AS "flows", sum("packets") AS "packets"', "flows", f'{_PAIR}, "service"', _DENIED)

# ---------------------------------------------------------------------------------------------------------------- rules
CUT_OFF = now("rules", "rules", "\"action\" = 'isolate' AND \"state\" = 'enforced'")
RULES = stands('last("rules") AS "rules"', "rules", '"action", "state", "mode", "issuer"')
WOULD_DROP = whole(
    'sum("observed") AS "packets", sum("observed_bytes") AS "bytes"', "rule_hits", '"rule"', "\"mode\" = 'observe'"
)
DROPS_BY_RULE = largest('sum("denied")', "rule_hits", '"rule"', 10)
RULE_SECONDS = course('max("seconds_max")', "rule_times", '"action", "change"')
_LATEST_EVENTS = " ORDER BY time DESC LIMIT 100"
EVENTS_ALL = f'SELECT "kind", "vm", "segment", "vfn", "title", "text", "actor" FROM "dynseg_events" WHERE {_AT}'
EVENTS = EVENTS_ALL + _LATEST_EVENTS
_EVENT = 'SELECT "title", "text", "kind", "vm" FROM "dynseg_events" WHERE $timeFilter AND "kind" ='
ISOLATIONS = f"{_EVENT}~ /^(isolation|restriction|denial|release)$/"
POLICY_CHANGES = f"{_EVENT} 'policy'"
TROUBLE = f"{_EVENT}~ /^(drift|failure|harm|process)$/"

# --------------------------------------------------------------------------------------------------------- one segment
_SEGMENT = '"segment" =~ /^$segment$/'
_FROM, _TO = '"src_segment" =~ /^$segment$/', '"dst_segment" =~ /^$segment$/'
_EITHER = f"({_FROM} OR {_TO})"
SEGMENT_HIGHEST_RISK = whole('max("risk") AS "value"', "segment", where=_SEGMENT)
SEGMENT_RISKS = RISKS.replace(_NOTEWORTHY, f"{_SEGMENT} AND {_NOTEWORTHY}")
SEGMENT_AT_RISK = VMS_AT_RISK.replace(_ACTING, f"{_SEGMENT} AND {_ACTING}")
SEGMENT_VERDICTS = course('sum("verdicts")', "verdicts", '"behaviour"', _SEGMENT, gaps="0")
SEGMENT_DENIED = whole('sum("flows") AS "value"', PAIR_POINTS, where=f"{_EITHER} AND {_DENIED}")
SEGMENT_DRIFT = course('last("drift")', "detection", where=_SEGMENT)
SEGMENT_TO = course('sum("bytes")', PAIR_POINTS, '"dst_segment"', _FROM, gaps="0", rate=True)
SEGMENT_FROM = course('sum("bytes")', PAIR_POINTS, '"src_segment"', _TO, gaps="0", rate=True)
SEGMENT_SERVICES = largest('sum("bytes")', "flows", '"service"', 10, f"{_EITHER} AND {_PASSED}")
SEGMENT_PAIRS = PAIRS.replace(_PASSED, f"{_EITHER} AND {_PASSED}")
SEGMENT_PAIRS_DENIED = PAIRS_DENIED.replace(_DENIED, f"{_EITHER} AND {_DENIED}")
_VM_COLUMNS = (
    'max("risk") AS "risk", sum("flows_out") AS "flows out", sum("flows_in") AS "flows in", sum("bytes_out") AS "sent",'
    ' sum("bytes_in") AS "received", sum("denied_out") AS "denied out", sum("denied_in") AS "denied in"'
)
_VM_TAGS = '"vm", "segment", "vfn"'
SEGMENT_VMS = whole(_VM_COLUMNS, "vm", _VM_TAGS, _SEGMENT)

# ------------------------------------------------------------------------------------------------------------------- VM
_VM = '"vm" =~ /^$vm$/'
VM_RISK = course('max("risk")', "vm", '"vm"', _VM)
VM_SENT = course('sum("bytes_out")', "vm", where=_VM, gaps="0", rate=True)
VM_RECEIVED = course('sum("bytes_in")', "vm", where=_VM, gaps="0", rate=True)
VM_OPENED = course('sum("flows_out")', "vm", where=_VM, gaps="0")
VM_ACCEPTED = course('sum("flows_in")', "vm", where=_VM, gaps="0")
VM_DENIED_OUT = course('sum("denied_out")', "vm", where=_VM, gaps="0")
VM_DENIED_IN = course('sum("denied_in")', "vm", where=_VM, gaps="0")
VM_FAILED = course('sum("failed")', "vm", where=_VM, gaps="0")
VM_ROW = whole(_VM_COLUMNS, "vm", _VM_TAGS, _VM)
VM_EVENTS = f"{EVENTS_ALL} AND {_VM}{_LATEST_EVENTS}"

# ------------------------------------------------------------------------------------------------------------------ VFN
_VFN = '"vfn" =~ /^$vfn$/'
ENFORCED = f"""SELECT min("latest") AS "value" FROM ({
    stands('last("enforced_ratio") AS "latest"', "enforcement", '"vfn", "node"')
})"""
ENFORCED_ALL = course('min("enforced_ratio")', "enforcement", '"vfn"')
ENFORCED_BY_VFN = course('min("enforced_ratio")', "enforcement", '"vfn"', _VFN)
CONNECTED = course('min("connected")', "enforcement", '"vfn"', _VFN)
PUSH_SECONDS = course('max("push_seconds_max")', "enforcement", '"vfn"', _VFN)
ENTRIES = course('last("entries")', "enforcement", '"vfn"', _VFN)
MEDDLED = course('sum("lost_entries")', "enforcement", '"vfn"', _VFN, gaps="0")
STRANGE = course('sum("strange_entries")', "enforcement", '"vfn"', _VFN, gaps="0")
PUSH_FAILURES = course('sum("failures")', "enforcement", '"vfn"', _VFN, gaps="0")
VFN_TRAFFIC = course('sum("bytes")', "vfn", '"vfn"', _VFN, gaps="0", rate=True)
VFN_FLOWS = course('sum("flows")', "vfn", '"decision"', _VFN, gaps="0", rate=True)
VFN_STATE = stands(
    'last("connected") AS "connected", last("in_sync") AS "in sync", last("enforced_ratio") AS "enforced",'
    ' last("entries") AS "entries", last("rules") AS "rules"',
    "enforcement", '"vfn"', _VFN,
)  # fmt: skip
VFN_VMS = whole(_VM_COLUMNS, "vm", _VM_TAGS, _VFN)
TELEMETRY_LOST = course('sum("lost")', "telemetry_loss", '"vfn"', _VFN, gaps="0")

# ---------------------------------------------------------------------------------------------------- detection quality
JUDGING = course('min("judging")', "learning")
SAMPLES = course('last("samples")', "learning")
LEFT_OUT = course('last("left_out")', "learning")
DRIFT = course('last("drift")', "detection", '"segment"')
CHANGED = course('last("changed_vms")', "detection", '"segment"')
_BY_PERSON = '"kind" =~ /^(released|probation|rolled_back)$/ AND "by" = \'person\''
RELEASED = course('sum("rows")', "audit", where=_BY_PERSON, gaps="0")
FALSE_ALARMS = whole('sum("false_alarms") AS "value"', "feedback")
FALSE_ALARMS_BY_BEHAVIOUR = course('sum("false_alarms")', "feedback", '"behaviour"', gaps="0")
ADMISSION = course('sum("rows")', "audit", '"kind"', '"kind" =~ /^(admitted|refused)$/', gaps="0")
DETECTIONS = course('sum("rows")', "audit", where="\"kind\" = 'detection'", gaps="0")

# ------------------------------------------------------------------------------------------------------ pipeline health
UP = course('min("up")', "process", '"process"')
_LATEST = stands('last("up") AS "latest"', "process", '"process", "node"')
PROCESSES_DOWN = f'SELECT count("latest") AS "value" FROM ({_LATEST}) WHERE "latest" < 1'
CPU = course('sum("cpu_seconds")', "process", '"process"', gaps="0", rate=True)
MEMORY = course('max("memory_bytes")', "process", '"process"')
LAG = course('max("lag_seconds")', "process", '"process"')
WAITING = course('max("waiting")', "process", '"process"')
STARTS = stands(
    'last("starts") AS "starts", last("uptime_seconds") AS "uptime", last("up") AS "up"', "process", '"process"'
)
RECORDS = course('sum("records")', "telemetry", gaps="0", rate=True)
DELAY = course('max("delay_seconds")', "telemetry")
NOT_JUDGED = tuple(
    (words, course(f'sum("{field}")', "telemetry", gaps="0"))
    for field, words in (
        ("shed", "shed"),
        ("rubbish", "rubbish"),
        ("strangers", "from strangers"),
        ("misdated", "misdated"),
        ("copies_dropped", "first packets dropped"),
        ("archive_dropped", "not archived"),
        ("intervals_dropped", "intervals not fetched"),
    )
)
LOST = course('sum("lost")', "telemetry_loss", gaps="0")
WRITTEN = course('sum("written")', "writer", gaps="0", rate=True)
UNWRITTEN = tuple(
    (words, course(f'sum("{field}")', "writer", gaps="0"))
    for field, words in (("refused", "refused"), ("dropped", "dropped"), ("retries", "sent again"))
)
QUEUE = course('max("waiting")', "writer")
WRITE_SECONDS = course('max("write_seconds_max")', "writer")
