"""What an entry is, as a number: its cookie is the owner tag and a digest of its content.

So an entry that was read back vouches for itself: if its cookie is the digest of its content, it is what its cookie
says, and a whole switch is compared with what it should hold by cookies alone.
"""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct

from policies.codec import InstalledEntry
from policies.entries import OWNER, OWNER_SHIFT, TableEntry
from ryu_apps.wire.instructions import encode_instructions
from ryu_apps.wire.matches import canonical_match
from ryu_apps.wire.oxm import canonical

_HEAD = Struct("!BHH")
"""table, priority, length of the match"""
_TAG = OWNER << OWNER_SHIFT

Place = tuple[int, int, bytes]
"""Table, priority and match in canonical order: a switch holds one entry there."""


def place(entry: TableEntry) -> Place:
    """Where an entry stands.

    Raises:
        PolicyError: its match has no OpenFlow form.
    """
    return entry.table, entry.priority, canonical_match(entry.match)


def place_of(installed: InstalledEntry) -> Place:
    """Where an entry that was read back stands."""
    return installed.table, installed.priority, canonical(installed.match)


def cookie(entry: TableEntry) -> int:
    """Owner tag and digest of an entry's content.

    Raises:
        PolicyError: the entry has no OpenFlow form.
    """
    return _cookie(entry.table, entry.priority, canonical_match(entry.match), encode_instructions(entry))


def is_intact(installed: InstalledEntry) -> bool:
    """Is an entry what its cookie says?"""
    table, priority, claimed, match, instructions, _, _ = installed
    if _cookie(table, priority, match, instructions) == claimed:
        return True
    return _cookie(table, priority, canonical(match), instructions) == claimed


def _cookie(table: int, priority: int, match: bytes, instructions: bytes) -> int:
    content = _HEAD.pack(table, priority, len(match)) + match + instructions
    return _TAG | int.from_bytes(blake2b(content, digest_size=6).digest(), "big")
