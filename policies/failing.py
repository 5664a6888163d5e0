"""What is to blame when a VFN does not take its entries, and what becomes of it: rules, the policy, or copies."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from policies.lifecycle import RuleRecord
from policies.reconcile import REFUSED
from policies.telling import in_words
from policies.vfnstate import Failed

if TYPE_CHECKING:
    from policies.engine import Engine

LOG = logging.getLogger("dynseg.engine")


def fail(engine: Engine, vfn: str, failed: Failed, now: float) -> tuple[list[RuleRecord], frozenset[str]]:
    """Put it on record, and take back what the switch has refused.

    Returns the rules that have failed, and the names of VMs whose consent has ended as their payload cannot be copied.

    Args:
        now: epoch seconds.
    """
    reason = failed.reason + (f": {in_words(failed.errors)}" if failed.errors else "")
    LOG.error("VFN %s: %s", vfn, reason)
    enforcer, policies = engine.enforcer, engine.policies
    copies = enforcer.refused_copies(vfn, failed.errors)
    refused = failed.reason == REFUSED and not copies
    suspects = _suspects(engine, vfn, failed) if refused else frozenset()
    if copies:
        engine.consents.refuse(copies, f"VFN {vfn}: {reason}", now)
    elif refused and policies.pending and not engine.book.installing(suspects):
        # No rule of the moment is to blame: what is new is the policy.
        policies.refuse(vfn, reason, suspects, now)
        enforcer.set_policy(policies.policy)
    body = {"vfn": vfn, "reason": reason, "errors": [*failed.errors], "urgent": False}
    return engine.book.failed(sorted(suspects), f"VFN {vfn}: {reason}", now, body), copies


def _suspects(engine: Engine, vfn: str, failed: Failed) -> frozenset[str]:
    """The rules that the switch's errors name; if they name none, those that it has not held yet."""
    state = engine.enforcer.states[vfn]
    return engine.enforcer.suspects(vfn, failed.errors) or state.rules - (state.confirmed_rules or frozenset())
