"""docs/pipeline.md shows what the compiler makes, in a notation that Open vSwitch's own tool reads."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from support.openflow import bridge

from policies.pipeline.dump import example, places, renew
from policies.pipeline.notation import flow
from policies.pipeline.tables import Table
from ryu_apps.wire.codec import WireCodec

PAGE = Path(__file__).parents[2] / "docs" / "pipeline.md"
RENEW = "renew it: python -m policies.pipeline.dump docs/pipeline.md"


def test_the_page_shows_every_table_as_it_is() -> None:
    """No table is left out, and the entries of each are the compiler's."""
    page = PAGE.read_text()
    assert places(page) == [table.name for table in Table]
    assert renew(page) == page, RENEW


def test_no_table_of_the_example_is_empty() -> None:
    """The example has something to show for every table, and every rule of it is somewhere."""
    entries = example()
    assert {entry.table for entry in entries} == set(Table)
    assert {rule for entry in entries for rule in entry.rules} == {
        "5ca1ab1e0001",
        "5ca1ab1e0002",
        "5ca1ab1e0003",
        "5ca1ab1e0004",
        "web-to-sql",
        "lab-updates",
        "no-bad-hosts",
        "no-mail",
    }


@pytest.mark.ovs
def test_the_switchs_own_tool_reads_the_notation(tmp_path: Path) -> None:
    """What `ovs-ofctl add-flows` makes of the written entries is what the encoder makes of them."""
    codec, entries = WireCodec(), example()
    meters = {meter: 1000 for entry in entries for meter in entry.meters}
    flows = tmp_path / "flows"
    flows.write_text("".join(f"{flow(entry)}\n" for entry in entries))
    with bridge("pdx") as switch:
        assert switch.send(codec.set_meters(meters)).errors == ()
        _ofctl("add-flows", switch.bridge, str(flows))
        theirs = _dump(switch.bridge)
        switch.clear()
        assert switch.send(*map(codec.add, entries)).errors == ()
        assert theirs == _dump(switch.bridge)
        assert len(theirs) == len(entries)


def _ofctl(*arguments: str) -> str:
    command = ["ovs-ofctl", "-O", "OpenFlow13", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _dump(bridge: str) -> list[str]:
    """Everything but cookies and what becomes of counters, as the tool shows it."""
    lines = _ofctl("dump-flows", "--no-stats", "--no-names", bridge).splitlines()
    return sorted(re.sub(r"cookie=\w+, |reset_counts ", "", line) for line in lines)
