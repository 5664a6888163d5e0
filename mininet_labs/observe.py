"""`python -m mininet_labs.observe`: a lab whose metrics are written to InfluxDB, to be looked at.

VMs do their work, one scans and is isolated and released, another guesses passwords; then the network goes on until it
is interrupted. InfluxDB answers InfluxQL meanwhile: Grafana shows the dashboards of `dashboards/grafana`, and
`dynseg report` writes its page.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from dashboards import resolutions
from dashboards.influxql import InfluxQl, Place
from mininet_labs import recording
from mininet_labs.attacks import catalogue
from mininet_labs.children import ROOT, exit_when_told, wait_for
from mininet_labs.errors import LabError
from mininet_labs.product import dynseg
from mininet_labs.run import LabRun, Progress
from mininet_labs.stores import InfluxDb
from runtime.errors import DynsegError

DATABASE = "dynseg"
NODE = "lab"
LEARN_SECONDS, CALM_SECONDS, LINGER_SECONDS = 60.0, 20.0, 4.0
PORT = 8086
"""InfluxDB's usual port, if it is free."""


def prepare(store: InfluxDb) -> Place:
    """Make the database with its retention and down-sampling."""
    place = Place(store.url, DATABASE)
    with InfluxQl(place) as client:
        resolutions.prepare(client, DATABASE)
    return place


def story(run: LabRun) -> None:
    """Something to look at."""
    run.learn()
    run.calm(CALM_SECONDS)
    scan = run.strike(catalogue.scan(run.inventory, "web1", "db", run.logs / "nmap.txt"), LINGER_SECONDS)
    run.calm(CALM_SECONDS)
    if scan.rule is not None:
        run.release(scan.rule)
        run.moment("operator releases web1 through REST")
    run.strike(catalogue.brute_force(run.inventory, "web2", "db1"), LINGER_SECONDS)
    run.calm(CALM_SECONDS)


def report(config: Path, out: Path, source: str, since: float) -> None:
    """Run `dynseg report` as an operator does.

    Raises:
        LabError: it did not succeed.
    """
    done = dynseg(config, "report", "--from", source, "--since", f"{since:.0f}", "--out", out)
    if done.returncode:
        raise LabError(f"dynseg report: {done.stderr.strip()}")


def observe(out: Path, seconds: float | None, record: Path | None, say: Progress) -> None:
    """Run the lab and leave it running.

    Args:
        out: folder for data, logs and reports.
        seconds: how long it goes on after its story; None: until it is interrupted.
        record: file for everything that was written, as line protocol.
        say: told what happens.
    """
    data = out / "influxdb"
    shutil.rmtree(data, ignore_errors=True)
    with InfluxDb(data, PORT) as store:
        place = prepare(store)
        say(f"InfluxDB answers at {store.url}, database {DATABASE}")
        metrics = {"url": store.url, "api": "v1", "bucket": DATABASE, "node": NODE}
        with LabRun(out, LEARN_SECONDS, say, metrics=metrics) as run, InfluxQl(place) as client:
            story(run)
            wait_for("what happened last is written", lambda: _has_release(client), 60.0, 1.0)
            for source in ("metrics", "records"):
                file = out / f"{source}.html"
                report(run.product.file, file, source, run.started)
                say(f"report from {source}: {file}")
            if record is not None:
                say(f"{recording.record(client, record)} points recorded in {record}")
            _tell(store, run, say)
            if seconds is None:
                signal.pause()
            else:
                time.sleep(seconds)


def _has_release(client: InfluxQl) -> bool:
    query = 'SELECT count("events") FROM "dynseg_events" WHERE "kind" =~ /^(isolation|release)$/ GROUP BY "kind"'
    return len(client.ask(query)) == 2


def _tell(store: InfluxDb, run: LabRun, say: Progress) -> None:
    settings = run.product.settings
    say("the lab goes on; Ctrl-C ends it")
    print(f"""
  InfluxDB    {store.url}/query?db={DATABASE}&q=SHOW+MEASUREMENTS
  REST        http://{settings.rest.listen}:{settings.rest.port}/v1/status (token: {settings.tokens_file})
  a report    DYNSEG_CONFIG={run.product.file} .venv/bin/dynseg report --since 10m
  Grafana     DYNSEG_METRICS_URL={store.url} DYNSEG_METRICS_BUCKET={DATABASE} DYNSEG_METRICS_TOKEN= \\
              DYNSEG_DASHBOARDS={ROOT}/dashboards/grafana \\
              GF_PATHS_PROVISIONING={ROOT}/dashboards/grafana/provisioning grafana server
""", flush=True)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(description="a lab whose metrics can be looked at")
    parser.add_argument("--out", type=Path, default=Path("out/observe"))
    parser.add_argument("--seconds", type=float, help="go on for so long; until interrupted unless told")
    parser.add_argument("--record", type=Path, help="write all points as line protocol (gzip) into this file")
    args = parser.parse_args(arguments)
    exit_when_told()
    out: Path = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    try:
        observe(out, args.seconds, args.record, Progress())
    except KeyboardInterrupt:
        return 0
    except DynsegError as error:
        print(f"observe: {error}\nlogs: {out / 'logs'}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
