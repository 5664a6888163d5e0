"""The settings file: what it says holds, the environment stands over it, and mistakes are named with their place."""

from __future__ import annotations

import os
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import SettingsError
from runtime.settings import Settings, load


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.upper().startswith("DYNSEG_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "conf" / "dynseg.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return file


def refused(path: Path | None) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        load(path)
    return caught.value


def test_defaults_hold_without_a_file(tmp_path: Path) -> None:
    """Without file and environment everything has a value, and the inventory lies in the working directory."""
    settings = load()
    assert settings.openflow.port == 6653
    assert settings.inventory == tmp_path / "inventory.yaml"
    assert settings.engine_socket == Path("/run/dynseg/engine.sock")


def test_the_file_in_the_working_directory_is_read(tmp_path: Path) -> None:
    """`dynseg.yaml` here is found without being named."""
    (tmp_path / "dynseg.yaml").write_text("rest: {port: 9090}")
    assert load().rest.port == 9090


def test_the_named_file_goes_before_the_one_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DYNSEG_CONFIG names the file; an argument goes before even that."""
    (tmp_path / "dynseg.yaml").write_text("rest: {port: 1}")
    named = written(tmp_path, "rest: {port: 2}")
    other = tmp_path / "other.yaml"
    other.write_text("rest: {port: 3}")
    monkeypatch.setenv("DYNSEG_CONFIG", str(named))
    assert load().rest.port == 2
    assert load(other).rest.port == 3


def test_the_environment_stands_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable replaces one key and leaves its neighbours in the same section alone."""
    file = written(tmp_path, "rest: {port: 9090, listen: 192.0.2.1}\nlog_level: DEBUG")
    monkeypatch.setenv("DYNSEG_REST__PORT", "9191")
    settings = load(file)
    assert (settings.rest.port, settings.rest.listen, settings.log_level) == (9191, "192.0.2.1", "DEBUG")


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    """Every path of the settings, nested ones too, is taken from the file's folder; absolute ones stay."""
    file = written(
        tmp_path,
        "inventory: net.yaml\nrun_dir: /run/here\nstate_dir: state\n"
        "rest: {tokens: secret/tokens.yaml}\nanalyzer: {learn_when: go}",
    )
    settings, folder = load(file), tmp_path / "conf"
    assert settings.inventory == folder / "net.yaml"
    assert settings.run_dir == Path("/run/here")
    assert settings.database == folder / "state" / "dynseg.sqlite"
    assert settings.tokens_file == folder / "secret" / "tokens.yaml"
    assert settings.analyzer.learn_when == folder / "go"


def test_tokens_lie_in_the_state_folder_by_default(tmp_path: Path) -> None:
    """Without a setting the token file is beside the database."""
    settings = load(written(tmp_path, "state_dir: state"))
    assert settings.tokens_file == settings.database.parent / "tokens.yaml"


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ("colour: red", "colour", 1),
        ("rest:\n  port: 1\n  prot: 2", "rest.prot", 3),
        ("\n\nopenflow: {port: 0}", "openflow.port", 3),
        ("openflow: {port: 65536}", "openflow.port", 1),
        ("engine: {isolation_seconds: never}", "engine.isolation_seconds", 1),
        ("rest: 8080", "rest", 1),
    ],
)
def test_mistakes_are_named_with_file_line_and_key(tmp_path: Path, text: str, key: str, line: int) -> None:
    """An unknown key and a value out of range are refused with their place."""
    file = written(tmp_path, text)
    error = refused(file)
    assert (error.file, error.line, error.key) == (str(file), line, key)
    assert error.remedy


def test_bad_yaml_names_its_line(tmp_path: Path) -> None:
    """Text that is not YAML is refused with the line where reading stopped."""
    file = written(tmp_path, "rest:\n  port: 1\n bad: [")
    error = refused(file)
    assert error.file == str(file)
    assert error.line is not None
    assert error.line >= 3


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    """The second of two equal keys does not silently win."""
    error = refused(written(tmp_path, "log_level: INFO\nrest: {}\nlog_level: DEBUG"))
    assert (error.key, error.line) == ("log_level", 3)


@pytest.mark.parametrize("text", ["- a\n- b", "just words"])
def test_a_file_without_a_mapping_is_refused(tmp_path: Path, text: str) -> None:
    """A list or a word at the top is no settings file."""
    assert "no mapping" in str(refused(written(tmp_path, text)))


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    """A file of comments only is fine."""
    assert load(written(tmp_path, "# nothing yet\n")).rest.port == 8080


def test_a_missing_named_file_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was named must be there; falling back to defaults would hide a typing mistake."""
    monkeypatch.setenv("DYNSEG_CONFIG", str(tmp_path / "nowhere.yaml"))
    error = refused(None)
    assert "cannot be read" in str(error)
    assert error.file == str(tmp_path / "nowhere.yaml")


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 are refused with the file's name."""
    file = written(tmp_path, "")
    file.write_bytes(b"rest: \xff\xfe")
    assert refused(file).file == str(file)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("DYNSEG_REST__PORT", "many", "whole number"),
        ("DYNSEG_REST__PROT", "1", "unknown key"),
        ("dynseg_rest__port", "70000", "65535"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    """The variable is named, not the file, which is innocent."""
    monkeypatch.setenv(name, value)
    error = refused(written(tmp_path, "rest: {port: 1}"))
    assert error.file is None
    assert error.key == name.upper()
    assert message in str(error)


def test_a_section_in_the_environment_must_be_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole section may be given as JSON; anything else is one readable error."""
    monkeypatch.setenv("DYNSEG_REST", '{"port": 9')
    assert "rest" in str(refused(None))
    monkeypatch.setenv("DYNSEG_REST", '{"port": 9}')
    assert load().rest.port == 9


@given(st.text(string.printable, max_size=60))
def test_any_text_is_settings_or_a_settings_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Whatever stands in the file, the user gets settings or one SettingsError that names the file."""
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(text)
    try:
        assert isinstance(load(file), Settings)
    except SettingsError as error:
        assert error.file == str(file)
