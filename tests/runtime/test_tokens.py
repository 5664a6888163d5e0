"""The file of REST tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.errors import SettingsError
from runtime.tokens import Role, find, load, load_or_create

GOOD = "- {name: ann, role: operator, token: 0123456789abcdef}\n"


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_first_start_makes_a_token_for_each_role(tmp_path: Path) -> None:
    """The file is for its owner only, and the second start reads the same tokens."""
    path = tmp_path / "state" / "tokens.yaml"
    made = load_or_create(path)
    assert [token.role for token in made] == list(Role)
    assert len({token.token for token in made}) == 3
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_create(path) == made


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """Tokens that others may have read are no secret."""
    path = write(tmp_path / "tokens.yaml", GOOD, 0o640)
    with pytest.raises(SettingsError, match=r"mode 0640 \(chmod 600"):
        load(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- {name: ann, role: king, token: 0123456789abcdef}", "0.role"),
        ("- {name: ann, role: viewer, token: short}", "0.token"),
        ("- {name: ann, role: viewer, token: 0123456789abcdef, more: 1}", "0.more"),
        ("- [\n", "not YAML"),
        ("7", "not a list of tokens"),
        (GOOD + "- {name: bob, role: viewer, token: 0123456789abcdef}", "the same token"),
        (GOOD + "- {name: ann, role: viewer, token: fedcba9876543210}", "the same name"),
    ],
)
def test_a_wrong_file_is_refused_by_name_and_key(tmp_path: Path, text: str, said: str) -> None:
    """The message names the file and what is wrong, and never a token."""
    path = write(tmp_path / "tokens.yaml", text)
    with pytest.raises(SettingsError, match=said) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "0123456789abcdef" not in str(caught.value)


def test_only_the_whole_token_is_found(tmp_path: Path) -> None:
    """A prefix, another case or nothing at all is nobody's token."""
    tokens = load(write(tmp_path / "tokens.yaml", GOOD))
    found = find(tokens, "0123456789abcdef")
    assert found is not None
    assert found.name == "ann"
    assert [find(tokens, text) for text in ("0123456789abcde", "0123456789ABCDEF", "", "0123456789abcdeé")] == [
        None
    ] * 4


def test_each_role_covers_those_below() -> None:
    """The order is viewer, operator, admin."""
    assert Role.ADMIN.covers(Role.VIEWER)
    assert Role.OPERATOR.covers(Role.OPERATOR)
    assert not Role.VIEWER.covers(Role.OPERATOR)
