"""The codec's decisions: what is the same entry, and what has to change."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from support.entries import entries

from policies.codec import SwitchCodec
from policies.entries import OWNER, OWNER_SHIFT, Field, Output, SetField, TableEntry
from ryu_apps.wire.codec import WireCodec
from ryu_apps.wire.content import installed

CODEC: SwitchCodec = WireCodec()
WEB = (Field("eth_type", 0x0800), Field("ip_proto", 6), Field("tcp_dst", 80))
ENTRY = TableEntry(6, 20_000, WEB, (SetField("reg1", 3), Output(2)), 7, ("0123456789ab",))


def place(entry: TableEntry) -> tuple[int, int, bytes]:
    """What a switch holds at most one entry for: table, priority and match."""
    there = installed(entry)
    return there.table, there.priority, there.match


def by_cookie(*content: TableEntry) -> dict[int, TableEntry]:
    """Desired entries as the engine holds them."""
    return {CODEC.cookie(entry): entry for entry in content}


@given(st.lists(entries(), max_size=8))
def test_cookie_stands_for_content(content: list[TableEntry]) -> None:
    """Cookies carry the owner tag, and are equal exactly where everything but the rules is equal."""
    for entry in content:
        assert CODEC.cookie(entry) >> OWNER_SHIFT == OWNER
        assert CODEC.cookie(replace(entry, rules=("ffffffffffff",))) == CODEC.cookie(entry)
    forms = {(place(entry), installed(entry).instructions) for entry in content}
    assert len({CODEC.cookie(entry) for entry in content}) == len(forms)


def test_cookie_changes_with_each_part_of_the_content() -> None:
    """Table, priority, match, steps and goto are all part of the digest."""
    others = [
        replace(ENTRY, table=5),
        replace(ENTRY, priority=20_001),
        replace(ENTRY, match=WEB[:2]),
        replace(ENTRY, match=(*WEB[:2], Field("tcp_dst", 81))),
        replace(ENTRY, steps=(SetField("reg1", 4), Output(2))),
        replace(ENTRY, steps=ENTRY.steps[::-1]),
        replace(ENTRY, goto=8),
        replace(ENTRY, goto=None),
    ]
    assert len({CODEC.cookie(entry) for entry in [ENTRY, *others]}) == len(others) + 1


def test_cookie_is_the_same_in_every_run() -> None:
    """A restarted engine recognises what an earlier one installed: the digest depends on nothing but the content."""
    assert CODEC.cookie(ENTRY) == 0xD75E_D26A_290E_7B08


@given(st.lists(entries(), max_size=8))
def test_what_is_installed_differs_in_nothing(content: list[TableEntry]) -> None:
    """Desired entries read back are no difference."""
    unique = list({place(entry): entry for entry in content}.values())
    assert CODEC.differences(by_cookie(*unique), [installed(entry) for entry in unique]) == ({}, [])


def test_missing_entry_is_added_and_foreign_one_deleted() -> None:
    """The difference names exactly what is missing and what nobody asked for."""
    foreign = installed(replace(ENTRY, priority=9))._replace(cookie=0x1234)
    assert CODEC.differences(by_cookie(ENTRY), [foreign]) == (by_cookie(ENTRY), [foreign])


def test_replaced_entry_is_added_without_a_delete() -> None:
    """New instructions for the same match are one add, so that no packet meets a gap."""
    after = replace(ENTRY, goto=8)
    assert CODEC.differences(by_cookie(after), [installed(ENTRY)]) == (by_cookie(after), [])


def test_entry_edited_by_hand_is_drift() -> None:
    """An entry that kept its cookie but lost its instructions is put right."""
    edited = installed(ENTRY)._replace(instructions=b"")
    assert CODEC.differences(by_cookie(ENTRY), [edited]) == (by_cookie(ENTRY), [])


def test_entry_moved_by_hand_is_deleted_and_added() -> None:
    """Our cookie on a match that is not ours does not count as installed."""
    moved = installed(ENTRY)._replace(priority=1)
    assert CODEC.differences(by_cookie(ENTRY), [moved]) == (by_cookie(ENTRY), [moved])


def test_transaction_ids_never_repeat_within_reach() -> None:
    """Each message has a number of its own, a bundle one for each of its messages, and 0 is never used."""
    codec = WireCodec()
    first = codec.add(ENTRY)
    whole = codec.change(by_cookie(ENTRY), [installed(ENTRY)], {}, 1)
    last = codec.add(ENTRY)
    assert [int.from_bytes(message[4:8], "big") for message in (first, whole, last)] == [1, 2, 6]
