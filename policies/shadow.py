"""Rules of a policy that have nothing to decide, as earlier ones decide all that they match."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, product, takewhile

from policies.acl import Acl, Peer, Policy
from policies.cover import covers, order, peer_covers, segment_of
from topology.model import Inventory

MOST_NETS = 200
"""Ends by networks that are held against each other; of more only the very same ones are."""


def shadowed(policy: Policy, inventory: Inventory) -> Iterator[tuple[Acl, Acl]]:
    """(rule, the first of those before it that leave it nothing), in the policy's order.

    A rule that comes and goes with hours, or ends some day, leaves others something.
    """
    by_ends: dict[tuple[Peer, Peer], list[Acl]] = defaultdict(list)
    for acl in chain.from_iterable(policy.lasting.values()):
        by_ends[acl.source, acl.destination].append(acl)
    ends = dict.fromkeys(peer for acl in policy.acls for peer in (acl.source, acl.destination))
    wider = _wider(ends, [peer for peer in ends if peer.nets or peer.list], policy, inventory)
    place = {acl.rule_id: number for number, acl in enumerate(policy.acls)}
    for bucket in by_ends.values():
        bucket.sort(key=lambda one: (order(one), place[one.rule_id]))
    for acl in policy.acls:
        pairs = product(wider[acl.source], wider[acl.destination])
        ahead = (takewhile(partial(_before, than=acl, place=place), by_ends.get(pair, ())) for pair in pairs)
        firsts = (next((one for one in some if covers(one, acl, inventory, policy.lists)), None) for some in ahead)
        found = [one for one in firsts if one is not None]
        if found:
            yield acl, min(found, key=lambda one: (order(one), place[one.rule_id]))


def _wider(
    peers: Iterable[Peer], nets: Sequence[Peer], policy: Policy, inventory: Inventory
) -> dict[Peer, tuple[Peer, ...]]:
    """Of each end those that hold all of it, itself included."""
    found: dict[Peer, tuple[Peer, ...]] = {}
    for peer in peers:
        segment = segment_of(peer, inventory)
        holding = [peer, Peer(), *([] if segment is None else [Peer(segment=segment)])]
        if (peer.nets or peer.list) and len(nets) <= MOST_NETS:
            holding += [wide for wide in nets if peer_covers(wide, peer, inventory, policy.lists)]
        found[peer] = tuple(dict.fromkeys(holding))
    return found


def _before(one: Acl, than: Acl, place: Mapping[str, int]) -> bool:
    """Is one asked before another? Of two that say the same in one place, the first that is written is."""
    mine, its = order(one), order(than)
    return mine < its or (mine == its and one.mode is than.mode and place[one.rule_id] < place[than.rule_id])
