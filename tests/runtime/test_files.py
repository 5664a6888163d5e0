"""Files are there whole or not at all."""

from pathlib import Path

import pytest

from runtime.files import replacing


def test_a_file_is_replaced_at_the_end(tmp_path: Path) -> None:
    """Until then the old one is read; nothing else stays in the folder."""
    path = tmp_path / "file.txt"
    path.write_text("old")
    with replacing(path) as fresh:
        fresh.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [*tmp_path.iterdir()] == [path]


def test_after_an_error_the_old_one_is_there(tmp_path: Path) -> None:
    """What was written so far is gone."""
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(KeyError), replacing(path) as fresh:
        fresh.write_text("half")
        raise KeyError
    assert path.read_text() == "old"
    assert [*tmp_path.iterdir()] == [path]
