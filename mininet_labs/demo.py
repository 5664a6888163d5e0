"""`python -m mininet_labs.demo --out DIR`: the whole story on a real network, judged.

Learn what is normal; a person's new rule bars ordinary traffic, and is taken back by itself. Then one web VM scans the
databases, a second guesses passwords, a third pushes data out to a stranger. Each is seen, isolated and stays isolated;
in the middle the analyzer is killed; in the end a person releases the first VM.

Writes `summary.json`, `report.html` and `logs/`; exit status 0 only when every condition held.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mininet_labs import judge, mishaps, page
from mininet_labs.attacks import catalogue
from mininet_labs.children import exit_when_told, wait_for
from mininet_labs.errors import LabError
from mininet_labs.evidence import Evidence, Strike
from mininet_labs.judge import Finding
from mininet_labs.run import LabRun, Progress
from runtime.errors import DynsegError

LEARN_SECONDS = 60.0
ENGINE = {"harm": {"flows": 10}}
"""A network of fourteen VMs has fewer flows to miss than others."""
CALM_SECONDS = 10.0
LINGER_SECONDS = 4.0
"""An attack goes on this long after its rule is enforced."""
AFTERWARDS_SECONDS = 6.0
"""Released and innocent traffic is watched for this long at the end."""


def story(run: LabRun) -> tuple[Evidence, tuple[Finding, ...]]:
    """Tell it; returns what was measured, and what was found about the mishaps on the way."""
    run.learn()
    run.calm(CALM_SECONDS)
    run.moment(f"{CALM_SECONDS:.0f} s of ordinary traffic, {len(run.product.rules())} rules")
    run.explain("app1", "db3", 5432, "app-uses-databases")
    run.explain("web1", "db3", 5432, "default of db")
    run.explain("web1", "db3", 22, "web-reaches-shells")
    taken_back = mishaps.push_harmful_policy(run)
    scan = run.strike(catalogue.scan(run.inventory, "web1", "db", run.logs / "nmap.txt"), LINGER_SECONDS)
    run.strike(catalogue.brute_force(run.inventory, "web2", "db1"), LINGER_SECONDS)
    found = (taken_back, mishaps.kill_analyzer(run), mishaps.send_rubbish(run))
    attack = catalogue.exfiltration(run.inventory, "web3", "stranger")
    run.strike(attack, LINGER_SECONDS, probe=("web3", "stranger"))
    _release(run, scan)
    run.calm(AFTERWARDS_SECONDS)
    return run.finish(), found


def _release(run: LabRun, strike: Strike) -> None:
    if strike.rule is None:
        return
    vm, now = strike.attack.vm, time.time()
    run.release(strike.rule)
    run.moment(f"operator releases {vm} through REST")
    try:
        wait_for(f"{vm} talks again", lambda: run.probe_returns(vm, now), judge.MAX_SILENCE_SECONDS, 0.1)
    except LabError as error:
        run.moment(str(error))  # the judge sees it in the probes
    else:
        run.moment(f"{vm} talks again")


def conclude(run: LabRun, evidence: Evidence, found: tuple[Finding, ...], out: Path) -> bool:
    """Judge, write `summary.json` and `report.html`, print the table; returns whether everything held."""
    checks = (*judge.findings(evidence), *found)
    summary = judge.summary(evidence, checks)
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    (out / "report.html").write_text(page.render(run.inventory, evidence, checks, summary))
    _table(summary)
    for check in checks:
        print(f"  {'ok  ' if check.passed else 'FAIL'}  {check.name}: {check.text}")
    return bool(summary["passed"])


def _table(summary: dict[str, object]) -> None:
    print(f"\n{'attack':<14}{'VM':<6}{'seen':<6}{'contained':>11}{'sent since':>12}{'delivered since':>17}")
    attacks = summary["attacks"]
    assert isinstance(attacks, list)
    for attack in attacks:
        seconds = attack["time_to_contain_s"]
        contained = "-" if seconds is None else f"{seconds:.2f} s"
        sent, delivered = attack["attack_packets_sent_after_contain"], attack["packets_forwarded_after_contain"]
        seen = "yes" if attack["detected"] else "no"
        print(f"{attack['name']:<14}{attack['vm']:<6}{seen:<6}{contained:>11}{sent:>12}{delivered:>17}")
    print()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit status."""
    parser = argparse.ArgumentParser(description="VMs turn hostile on real Open vSwitch, are seen and isolated")
    parser.add_argument("--out", type=Path, default=Path("out/demo"))
    out: Path = parser.parse_args(arguments).out
    exit_when_told()
    out.mkdir(parents=True, exist_ok=True)
    for name in ("summary.json", "report.html"):
        (out / name).unlink(missing_ok=True)
    try:
        with LabRun(out, LEARN_SECONDS, Progress(), engine=ENGINE) as run:
            evidence, found = story(run)
        passed = conclude(run, evidence, found, out)
    except KeyboardInterrupt:
        print("interrupted; everything is taken down", file=sys.stderr)
        return 130
    except DynsegError as error:
        print(f"demo: {error}\nlogs: {out / 'logs'}", file=sys.stderr)
        return 1
    verdict = "Everything held." if passed else "NOT everything held."
    print(f"\n{verdict} See {out / 'report.html'}, logs in {out / 'logs'}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
