"""The report page of a run."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from mininet_labs import judge, page
from mininet_labs.agent.journal import Failure
from mininet_labs.attacks.catalogue import Attack
from mininet_labs.crew import Work
from mininet_labs.evidence import Evidence, Moment, Release, Strike
from mininet_labs.instruments import Echo, Probe, Watch
from mininet_labs.run import ENTERPRISE
from topology import inventory as inventories

RULE: dict[str, Any] = {
    "id": "0123456789ab",
    "action": "isolate",
    "state": "released",
    "source_vm": "web1",
    "source_ip": None,
    "created": 101.0,
    "enforced_at": 101.1,
    "released_at": 110.0,
    "risk": 97.0,
    "reasons": ["scan: tried 132 services <script>"],
}


class _Links(HTMLParser):
    """Collects what a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [value for name, value in attrs if name in ("src", "href") and value and value[0] != "#"]


def test_the_page_shows_attack_rule_and_release_and_fetches_nothing() -> None:
    """Names, rule, reasons and checks are there; what came from the network is escaped."""
    watch = Watch((100.5, 103.0), (), (100.6, 101.0), 0)
    strike = Strike(Attack("scan", "web1", ("db1",), (), ""), 100.0, 105.0, watch, RULE)
    probes = [Probe(90.0 + n / 100, 90.0, None if 1100 < n < 2000 else 91.0) for n in range(3000)]
    evidence = Evidence(
        started=50.0,
        enforcing=55.0,
        ended=130.0,
        strikes=(strike,),
        releases=(Release(RULE["id"], "web1", 110.0),),
        probes={"web4>app4": probes, "web1>db2": probes},
        innocent=("web4>app4",),
        echo=Echo(500, 500, 12.0, 3.0, 70.0, 0),
        work=Work({"pages": 10}, (Failure("pages", "web1", "app1", 102.0, 103.0, "timed out"),)),
        rules=(RULE,),
        audit=({"seq": 1, "ts": 101.0, "actor": "analyzer", "kind": "rule", "body": {"rule": "x"}, "hash": "ab"},),
        risk=({"time": 100.9, "vm": "web1", "risk": 97.0, "behaviour": "scan"},),
        moments=(Moment(99.0, "baseline learned"),),
        hits=(
            {
                "rule": "app-uses-databases",
                "kind": "policy",
                "action": "allow",
                "mode": "enforce",
                "packets": {"allowed": 12345, "answers": 7, "denied": 0, "observed": 0},
            },
        ),
        explained=(),
        audit_verified=True,
        audit_words="1 record",
    )
    checks = judge.findings(evidence)
    inventory = inventories.load(ENTERPRISE / "inventory.yaml")
    html = page.render(inventory, evidence, checks, judge.summary(evidence, checks))
    reasons = "tried 132 services &lt;script&gt;"
    for text in ("web1", "stranger", RULE["id"], reasons, "baseline learned", "leaf3", "12,345"):
        assert text in html
    assert "services <script>" not in html
    links = _Links()
    links.feed(html)
    assert [link for link in links.fetched if not link.startswith("data:")] == []
