"""Trying a policy out on the flow archive, for those who ask over REST: in a process of its own.

The archive is the analyzer's, which the engine does not import, and looking through it takes seconds of processor time
and much memory, of which the engine has neither to spare. So what does the work is the command that a person would
give; it reads what is in force from the engine's database.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from policies.requests import Answer, SimulateParams, problem

SECONDS = 110.0
"""Less than control waits for an answer."""
_LAST = ("nice", "-n", "19")
"""It takes the processors that nobody else wants."""


@dataclass(frozen=True)
class DryRun:
    """The command, without its arguments."""

    command: tuple[str, ...]

    def __call__(self, params: SimulateParams) -> Answer:
        """Run it; returns when it has ended."""
        written = params.text if params.policy is None else json.dumps(params.policy)
        try:
            done = subprocess.run(
                [*_LAST, *self.command, *_arguments(params)],
                input=written or "",
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
                start_new_session=True,  # of which the processors are not kept free as of the engine's
            )
        except subprocess.TimeoutExpired:
            return problem(503, f"not done after {SECONDS:.0f} s", "ask for a shorter time (`since`, `until`)")
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"]
            return problem(400, said[-1].removeprefix("dynseg: "), "correct what it says")
        return 200, json.loads(done.stdout)


def _arguments(params: SimulateParams) -> Iterator[str]:
    if params.rule is not None:
        yield from ("--rule", params.rule.model_dump_json(exclude_none=True))
    else:
        yield from ("-", "--folder", str(params.folder))
    for name, value in (("--since", params.since), ("--until", params.until), ("--limit", params.limit)):
        if value is not None:
            yield from (name, str(value))
    yield "--json"
