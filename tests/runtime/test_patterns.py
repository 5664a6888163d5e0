"""Pattern files: what is read, what is refused, and where errors point."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from runtime.errors import PatternError
from runtime.patterns import load, named, names

GOOD = """// rule in_comment { condition: true }
import "math"
rule first : tag { strings: $a = "rule quoted {" condition: $a and math.entropy(0, filesize) >= 0 }
private rule second { condition: filesize > 3 }
"""


def test_a_file_is_known_by_its_rules_and_digest(tmp_path: Path) -> None:
    """As the compiler reads them: neither comments nor strings are rules."""
    (tmp_path / "good.yar").write_text(GOOD)
    file = load(tmp_path, "good")
    assert file.rules == ("first", "second")
    assert named(["good:first", "good"], lambda name: load(tmp_path, name)) == {"good": file.digest}
    assert names(tmp_path) == ("good",)
    (tmp_path / "good.yar").write_text(GOOD + "\n")
    assert load(tmp_path, "good").digest != file.digest


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'rule a {\n strings: $a = "x"\n condition: $b }', "bad.yar:3: no YARA: unknown pattern"),
        (b'import "console"\nrule a { condition: console.log("x") }', "bad.yar:1: uses the module `console`"),
        (b'rule a { condition: true }\ninclude "/etc/passwd"', "bad.yar:2: no YARA: include statements not allowed"),
        (b"rule a {\n condition: \xff }", "bad.yar:2: not UTF-8"),
        (b"", "bad.yar: holds no rule"),
        (b"rule a { condition: true } rule a { condition: true }", "bad.yar:1: no YARA: duplicate"),
    ],
)
def test_a_bad_file_names_its_line(tmp_path: Path, content: bytes, told: str) -> None:
    """File, line, reason."""
    (tmp_path / "bad.yar").write_bytes(content)
    with pytest.raises(PatternError) as refused:
        load(tmp_path, "bad")
    assert told in str(refused.value)


def test_what_is_not_there_says_what_is(tmp_path: Path) -> None:
    """No folder, no file, no rule."""
    (tmp_path / "good.yar").write_text(GOOD)
    for folder, pattern, told in (
        (None, "good", "there are no patterns"),
        (tmp_path, "goods", "files there: good"),
        (tmp_path, "good:third", "its rules: first, second"),
    ):
        with pytest.raises(PatternError) as refused:
            named([pattern], partial(load, folder))
        assert told in str(refused.value)
