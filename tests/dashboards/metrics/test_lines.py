"""Line protocol: whatever a name holds, one line is one point, and its tags are where they belong."""

from __future__ import annotations

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dashboards.metrics import schema
from dashboards.metrics.lines import EMPTY, LONGEST_TAG, MOST_INTEGER, Encoder, shown, tag, text

ANY = st.text(max_size=40) | st.text(alphabet=', =\\\n\r\t"é🦊\x00#', max_size=12)


def unescaped(value: str) -> str:
    return re.sub(r"\\([,= ])", r"\1", value)


@given(ANY)
def test_a_tag_is_read_back_as_it_is_shown(value: str) -> None:
    """No unescaped separator, no line end and no backslash of its own is left in a tag."""
    written = tag(value)
    assert unescaped(written) == shown(value)
    assert not re.search(r"(?<!\\)[,= ]|[\x00-\x1f\x7f]|\\(?![,= ])", written)
    assert not written.endswith("\\")
    assert written


@given(ANY, ANY)
def test_names_that_differ_stay_different(one: str, other: str) -> None:
    """Two names make one series only where they differ in a backslash's width or a control character's picture."""
    same = str.maketrans(
        {"\\": "\N{FULLWIDTH REVERSE SOLIDUS}"} | {chr(n): chr(0x2400 + n) for n in range(32)} | {"\x7f": "\u2421"}
    )
    if tag(one) == tag(other):
        assert (one.translate(same) or EMPTY) == (other.translate(same) or EMPTY)


@given(ANY)
def test_a_text_ends_where_its_quotes_do(value: str) -> None:
    """Quotes within are escaped, and nothing in it ends the line."""
    written = text(value)
    assert re.fullmatch(r'"(?:[^"\\\n]|\\")*"', written)


def test_halves_of_characters_and_long_names_are_written() -> None:
    """A lone surrogate is no character, and a name may be too long: neither may stop the writing."""
    assert tag("\ud800").encode()
    assert len(tag("x" * 1000)) == LONGEST_TAG


def test_a_point_has_its_fields_by_type() -> None:
    """Integers end in `i`, floats do not, texts are quoted; the time is in milliseconds."""
    encoder = Encoder("node a")
    line = encoder.line(
        schema.EVENTS, {"kind": "isolation", "vm": "web 1"}, {"title": 'say "hi"', "events": 1}, 1_800_000_000.1234
    )
    assert line == (r'dynseg_events,node=node\ a,kind=isolation,vm=web\ 1 title="say \"hi\"",events=1i 1800000000123')
    vm = encoder.line(schema.VM, {"vm": "a"}, {"bytes_in": 5, "risk": 12.5}, 1.0)
    assert vm == r"dynseg_vm,node=node\ a,vm=a bytes_in=5i,risk=12.5 1000"


def test_numbers_that_are_none_are_left_out() -> None:
    """NaN and infinity are no numbers of line protocol, and an integer has 63 bits; a point of nothing is none."""
    encoder = Encoder("n")
    fields = {"risk": float("nan"), "bytes_in": float("inf"), "bytes_out": 2**70}
    assert encoder.line(schema.VM, {"vm": "a"}, fields, 1.0) == f"dynseg_vm,node=n,vm=a bytes_out={MOST_INTEGER}i 1000"
    assert encoder.line(schema.VM, {"vm": "a"}, {"risk": float("nan")}, 1.0) is None


def test_texts_are_left_out_where_only_numbers_are_kept() -> None:
    """A database of numbers makes series of zeros out of texts."""
    line = Encoder("n", texts=False).line(schema.EVENTS, {"kind": "policy"}, {"title": "x", "events": 1}, 1.0)
    assert line == "dynseg_events,node=n,kind=policy events=1i 1000"


def test_many_points_at_once_are_those_one_by_one() -> None:
    """The quick way of writing columns says the same as the slow one."""
    encoder = Encoder("n")
    tags = [{"vm": f"v {i}", "segment": "s", "vfn": "f"} for i in range(3)]
    columns = {field.name: np.arange(3) * 7 for field in schema.VM.fields}
    rows = encoder.rows(schema.VM, [encoder.key(schema.VM, one) for one in tags], columns, 5.5)
    singly = [
        encoder.line(schema.VM, one, {name: float(column[i]) for name, column in columns.items()}, 5.5)
        for i, one in enumerate(tags)
    ]
    assert rows == singly


def test_the_schema_keeps_the_line_protocol_free_of_clashes() -> None:
    """No tag is called as a field of its measurement, or `node`, or `time`; names are plain."""
    for measurement in schema.MEASUREMENTS:
        names = [*measurement.tags, *(field.name for field in measurement.fields)]
        assert len(set(names)) == len(names)
        assert not {schema.NODE, "time"} & set(names)
        assert all(re.fullmatch(r"[a-z_]+", name) for name in [measurement.name, *names])
