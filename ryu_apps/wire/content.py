"""What an entry is, as a number: its cookie is the owner tag and a digest of its content.

So an entry that was read back vouches for itself: if its cookie is the digest of its content, it is what its cookie
says, and a whole switch is compared with what it should hold by cookies alone. (48 bits: among 100,000 entries two of
the same digest come about once in 50,000 networks.)
"""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct

from policies.codec import InstalledEntry
from policies.entries import OWNER, OWNER_SHIFT, TableEntry
from ryu_apps.wire.layouts import laid_out
from ryu_apps.wire.oxm import canonical

_HEAD = Struct("!BHH")
"""table, priority, bytes of the match; match in canonical order and instructions follow"""
_TAG = OWNER << OWNER_SHIFT


def cookie(entry: TableEntry) -> int:
    """Owner tag and digest of an entry's content.

    Raises:
        PolicyError: the entry has no OpenFlow form.
    """
    layout, values = laid_out(entry)
    return _digest(_HEAD.pack(entry.table, entry.priority, layout.canonical_size) + layout.content(values))


def installed(entry: TableEntry) -> InstalledEntry:
    """An entry as the switch gives it back before it has met a packet.

    Raises:
        PolicyError: the entry has no OpenFlow form.
    """
    layout, values = laid_out(entry)
    content, size = layout.content(values), layout.canonical_size
    named = _digest(_HEAD.pack(entry.table, entry.priority, size) + content)
    return InstalledEntry(entry.table, entry.priority, named, content[:size], content[size:], 0, 0)


def is_intact(entry: InstalledEntry) -> bool:
    """Is an entry what its cookie says?"""
    table, priority, named, match, instructions = entry[:5]
    head = _HEAD.pack(table, priority, len(match))
    return _digest(head + match + instructions) == named or _digest(head + canonical(match) + instructions) == named


def _digest(content: bytes) -> int:
    return _TAG | int.from_bytes(blake2b(content, digest_size=6).digest(), "big")
