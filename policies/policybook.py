"""The policy that people have laid down: its versions, which one is in force, and what became of the newest.

Checking a text takes seconds when it is long or reads long lists, so it is a function of its own (`draft`) that needs
nothing of the book, and may run aside while the book goes on. No messages and no switches here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from policies.acl import Mode, Policy
from policies.document import parse_what_holds, read, reading_in
from policies.pipeline import lists
from policies.pipeline.heap import Heap
from policies.store import Entry, Store
from policies.terms import moment
from policies.versions import KeepingLists, PolicyVersion
from runtime.errors import PolicyError
from topology.model import Inventory

FILE = "policy"
"""What errors call a text whose file nobody names."""
_ENGINE = "engine"
EMPTY = PolicyVersion(0, 0.0, "", "", {})
"""Before any was laid down."""


@dataclass(frozen=True)
class Draft:
    """A policy that means something in this network, not yet in force."""

    policy: Policy
    text: str
    lists: Mapping[str, bytes]
    """As `PolicyVersion.lists`."""
    base_version: int | None = None
    """The version that it was made from, if it says so."""
    remarks: tuple[str, ...] = ()
    """What its author should look at."""
    left_out: tuple[str, ...] = ()
    """Of an earlier version: rules that this inventory leaves nothing for."""
    again: int | None = None
    """The earlier version that it is."""


def draft(text: str, inventory: Inventory, folder: Path, now: float | None = None, file: str = FILE) -> Draft:
    """Check a text and read the lists that it names, relative to a folder; arguments and errors as of `document.read`.

    Raises:
        PolicyError: it is refused; names file, line, key and remedy.
    """
    read_list = KeepingLists(reading_in(folder))
    heap = Heap()
    with heap:
        found = read(text, inventory, read_list, file=file, now=now)
        lists.check(found.policy.lists.values())
        heap.made = _size(found.policy)
    return Draft(found.policy, text, read_list.packed, found.base_version, found.remarks)


def recalled(version: PolicyVersion, inventory: Inventory) -> Draft:
    """An earlier version, its lists as they were then. Rules that mean nothing any more are left out, and told.

    Raises:
        PolicyError: it can no longer be read.
    """
    heap = Heap()
    with heap:
        policy, gone = parse_what_holds(version.text, inventory, version.read_list, file=FILE)
        heap.made = _size(policy)
    left_out = tuple(str(error) for error in gone)
    return Draft(policy, version.text, version.lists, left_out=left_out, again=version.number)


class ConflictError(PolicyError):
    """Somebody else was quicker: the version that a change was made from is not the one in force."""

    def __init__(self, base: int, now: PolicyVersion) -> None:
        who = (
            f"{now.actor} laid down version {now.number} at {moment(round(now.created))}"
            if now.number
            else "there is none"
        )
        remedy = f"see `dynseg policy diff {base} {now.number}`, and make your change to version {now.number}"
        super().__init__(f"this change was made from version {base}, but {who}", remedy=remedy)
        self.base = base
        self.now = now


@dataclass(frozen=True)
class _Held:
    version: PolicyVersion
    whole: Policy
    """With the rules whose time it is not."""
    policy: Policy
    """The rules whose time it is."""
    due: float | None
    """When those may be others, in epoch seconds."""


class PolicyBook:
    """Versions are written down with their audit record before they are in force. Times are epoch seconds.

    Raises:
        PolicyError: the policy in the store can no longer be read.
    """

    def __init__(self, store: Store, inventory: Inventory, now: float) -> None:
        self._store = store
        self._inventory = inventory
        self.newest = 0
        """Number of the last version, in force or not."""
        self.left_out: tuple[str, ...] = ()
        """Rules of the version in force that this inventory leaves nothing for."""
        self._held = _hold(EMPTY, Policy(), now)
        self._recall(now)

    def _recall(self, now: float) -> None:
        """Put the last version in force that no switch has refused; the inventory may have changed since."""
        self.newest = self._store.newest_policy()
        version = self._store.policy_in_force()
        if version is None:
            self._held = _hold(EMPTY, Policy(), now)
            return
        found = recalled(version, self._inventory)
        self._held = _hold(version, found.policy, now)
        self.left_out = found.left_out
        if self.left_out:
            body = {"version": version.number, "rules": [*self.left_out], "reason": "the inventory has changed"}
            self._write(now, _ENGINE, "policy_reduced", body)

    @property
    def policy(self) -> Policy:
        """What is to be enforced: the rules whose time it is."""
        return self._held.policy

    @property
    def whole(self) -> Policy:
        """All of the version in force, with the rules whose time it is not."""
        return self._held.whole

    @property
    def version(self) -> PolicyVersion:
        """Where it comes from; number 0: none was ever laid down."""
        return self._held.version

    @property
    def pending(self) -> bool:
        """Is it still to be confirmed by the switches?"""
        return self.version.number > 0 and self.version.enforced_at is None

    def accept(self, draft: Draft, actor: str, now: float, base: int | None = None, reason: str = "") -> PolicyVersion:
        """Put a draft in force; the same again is the version that is in force already.

        Args:
            base: the version that the change was made from; None: what the draft says, and if that says nothing, any.
            reason: of the change, for the record.

        Raises:
            ConflictError: another version is in force by now.
        """
        version = PolicyVersion(self.newest + 1, now, actor, draft.text, draft.lists)
        if version.digest == self.version.digest:
            return self.version
        base = draft.base_version if base is None else base
        if base is not None and base != self.version.number:
            raise ConflictError(base, self.version)
        body: dict[str, Any] = {"version": version.number, "before": self.version.number, "digest": version.digest}
        body |= counts(draft.policy)
        body |= {} if draft.again is None else {"again": draft.again, "left_out": [*draft.left_out]}
        body |= {"reason": reason} if reason else {}
        self._write(now, actor, "policy", body, version)
        self._held = _hold(version, draft.policy, now)
        self.newest, self.left_out = version.number, draft.left_out
        return version

    def pass_time(self, now: float) -> bool:
        """Rules come and go with their hours, and when their time is over; is the policy another now?"""
        due = self.next_time()
        if due is None or due > now:
            return False
        before, held = self._held, _hold(self.version, self.whole, now)
        old, new = ({acl.rule_id for acl in policy.acls} for policy in (before.policy, held.policy))
        if old == new:
            self._held = replace(before, due=held.due)
            return False
        self._held = held
        over = sorted(name for name in old - new if held.whole.terms[name].expired(now))
        body = {"version": self.version.number, "began": sorted(new - old), "ended": sorted(old - new), "expired": over}
        self._write(now, _ENGINE, "policy_hours", body)
        return True

    def next_time(self) -> float | None:
        """When `pass_time` will next have something to do, in epoch seconds; None: never."""
        return self._held.due

    def confirm(self, vfns: Iterable[str], now: float) -> bool:
        """These VFNs, all that are connected, have been read back with it. Was that still to be told?"""
        if not self.pending:
            return False
        version = replace(self.version, enforced_at=now)
        body = {"version": version.number, "vfns": sorted(vfns), "seconds": round(now - version.created, 6)}
        self._write(now, _ENGINE, "policy_enforced", body, version)
        self._held = replace(self._held, version=version)
        return True

    def refuse(self, vfn: str, reason: str, rules: Iterable[str], now: float) -> None:
        """A switch does not take the version in force: the one before goes on."""
        version = replace(self.version, refused=f"VFN {vfn}: {reason}")
        body = {"version": version.number, "vfn": vfn, "reason": reason, "rules": sorted(rules)}
        self._write(now, _ENGINE, "policy_refused", body, version)
        self._recall(now)

    def _write(
        self, now: float, actor: str, kind: str, body: Mapping[str, Any], version: PolicyVersion | None = None
    ) -> None:
        self._store.write([Entry(now, actor, kind, body)], policy=version)


def _hold(version: PolicyVersion, policy: Policy, now: float) -> _Held:
    whole = policy if policy.version == version.number else replace(policy, version=version.number)
    return _Held(version, whole, whole.at(now), whole.next_change(now))


def _size(policy: Policy) -> int:
    """How many values a policy is made of, to speak of."""
    return len(policy.acls) + sum(len(one.nets) for one in policy.lists.values())


def counts(policy: Policy) -> dict[str, int]:
    """How large a policy is."""
    return {
        "rules": len(policy.acls),
        "observed": sum(acl.mode is Mode.OBSERVE for acl in policy.acls),
        "lists": len(policy.lists),
        "prefixes": sum(len(one.nets) for one in policy.lists.values()),
    }
