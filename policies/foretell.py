"""An automatic rule is tried on recorded flows before it is judged: what it would stop counts in its budget.

The trial is a process of its own (`policies.dryrun`) and takes seconds, so it has to be asked for (`dry_run_hours`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from policies.requests import Answer, CreateParams, ProposeParams, SimulateParams
from topology.model import OUTSIDE

if TYPE_CHECKING:
    from policies.engine import Engine, Outgoing

LOG = logging.getLogger("dynseg.engine")
_OK = 200
_RULE = ("action", "source_vm", "source_ip", "segment", "scope", "rate", "peers", "target", "mirror")


def foretell(
    engine: Engine, proposal: ProposeParams, then: Callable[[ProposeParams], list[Outgoing]]
) -> list[Outgoing]:
    """Go on with a proposal that says what share of ordinary traffic it would stop, if that is to be known."""
    hours, dry_run = engine.settings.harm.dry_run_hours, engine.dry_run
    if not hours or dry_run is None:
        return then(proposal)
    rule = CreateParams(**{name: getattr(proposal, name) for name in _RULE})
    params = SimulateParams(rule=rule, since=engine.clock.wall() - 3600 * hours)
    vm = engine.inventory.vms.get(proposal.source_vm or "")
    segment = OUTSIDE if vm is None else vm.segment

    def judged(answer: Answer) -> list[Outgoing]:
        status, told = answer
        if status != _OK:
            LOG.warning("proposal %d was not tried on recorded flows: %s", proposal.proposal, told["error"])
            return then(proposal)
        stopped = share(told, segment)
        LOG.info("proposal %d would stop %.1f %% of what %s exchanges", proposal.proposal, 100 * stopped, segment)
        return then(proposal.model_copy(update={"ordinary": max(stopped, proposal.ordinary)}))

    return engine.trying(lambda: dry_run(params), judged)


def share(told: Mapping[str, Any], segment: str) -> float:
    """Of the flows of a segment that pass now, the share that would be dropped (0..1), by a simulation's answer."""
    flows = told["segments"].get(segment, {"passing": 0, "dropped": 0})
    return float(flows["dropped"] / flows["passing"]) if flows["passing"] else 0.0
