"""`python -m mininet_labs.agent --plan PLAN --journal JOURNAL`: the process on one endpoint.

It listens, writes its journal with the state `listening` and waits. Signals drive it: USR1 starts the traffic, USR2
ends it (what is under way is finished, then the journal says `finished`; services stay), TERM ends the process.
"""

from __future__ import annotations

import argparse
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from mininet_labs.agent import frames, http, names, plan, records, shell
from mininet_labs.agent.journal import Failure, Journal

Exchange = Callable[[plan.Errand, plan.Target, random.Random], None]
_EXCHANGES: dict[str, Exchange] = {
    "http": http.fetch,
    "records": records.query,
    "bulk": records.push,
    "shell": shell.work,
}
_TALKS = {
    "records": records.serve_records,
    "bulk": records.serve_bulk,
    "sink": records.serve_sink,
    "shell": shell.serve_shell,
}


def main() -> None:
    """Run until TERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--journal", type=Path, required=True)
    args = parser.parse_args()
    signals = {signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # before any thread, so that only sigwait takes them
    day = plan.read(args.plan)
    journal = Journal(day.endpoint, args.journal)
    for service in day.services:
        _serve(service, day)
    journal.save("listening")
    quiet = threading.Event()
    workers: list[threading.Thread] = []
    while (number := signal.sigwait(signals)) != signal.SIGTERM:
        if number == signal.SIGUSR1 and not workers:
            workers = [_start(_errand, day, errand, journal, quiet) for errand in day.errands]
        elif number == signal.SIGUSR2:
            quiet.set()
            for worker in workers:
                worker.join()
            journal.save("finished")


def _start(work: Callable[..., object], *args: object) -> threading.Thread:
    thread = threading.Thread(target=work, args=args, daemon=True)
    thread.start()
    return thread


def _serve(service: plan.Service, day: plan.Plan) -> None:
    """Listen before returning, so that `listening` is true."""
    if service.kind == "names":
        _start(names.serve, names.listen(service.port), day.zone)
    elif service.kind == "http":
        _start(http.HttpServer(service.port).serve_forever)
    else:
        _start(frames.Server(service.port, _TALKS[service.kind]).serve_forever)


def _errand(day: plan.Plan, errand: plan.Errand, journal: Journal, quiet: threading.Event) -> None:
    rng = random.Random(f"{day.seed}:{day.endpoint}:{errand.name}")
    while not quiet.wait(rng.expovariate(1 / errand.every_seconds)):
        target = rng.choice(errand.targets)
        start = time.time()
        try:
            if errand.kind == "names":
                names.look_up(errand, target, rng, day.zone)
            else:
                _EXCHANGES[errand.kind](errand, target, rng)
        except OSError as error:
            reason = f"{type(error).__name__}: {error}"
            journal.failed(Failure(errand.name, day.endpoint, target.name, start, time.time(), reason))
        else:
            journal.done(errand.name)


if __name__ == "__main__":
    main()
