"""What goes on record, as lines of the log too: the trail of a rule from its proposal into the switches and out."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from policies.store import Entry

MOST_RULES = 8
"""Ids in a line; a bundle may be about hundreds of rules."""
_CARRIED = ("rule", "proposal", "vfn", "vm", "action", "state", "seconds", "barrier_seconds", "urgent", "reason")

LOG = logging.getLogger("dynseg.engine.audit")


def tell(entries: Sequence[Entry]) -> None:
    """Log rows of the audit log: at INFO those about rules, at DEBUG all others."""
    for entry in entries:
        body = entry.body
        fields = {name: body[name] for name in _CARRIED if body.get(name) is not None}
        rules = body.get("rules")
        if isinstance(rules, list | tuple) and rules:
            fields["rules"] = list(rules[:MOST_RULES])
        level = logging.INFO if "rule" in fields or "rules" in fields else logging.DEBUG
        LOG.log(level, entry.kind, extra={**fields, "actor": entry.actor})
