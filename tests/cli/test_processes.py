"""Commands that are processes, and the settings they show."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import main
from runtime.settings import Settings

ROOT = Path(__file__).resolve().parent.parent.parent
HEADER = "start,end,proto,src,src_port,dst,dst_port,src_pkts,dst_pkts,src_bytes,dst_bytes,src_flags,dst_flags,app\n"


def test_settings_show_every_key_with_its_meaning(tmp_path: Path) -> None:
    """No key without value and docstring, and a value of the file where it says one."""
    (tmp_path / "dynseg.yaml").write_text("rest: {port: 9999}\n")
    result = CliRunner().invoke(main, ["settings"], env={"DYNSEG_CONFIG": str(tmp_path / "dynseg.yaml")})
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert "rest.port = 9999" in lines
    assert len(lines) % 2 == 0
    assert all(line.startswith("    ") and line.strip() for line in lines[1::2])
    sections = [name for name in Settings.model_fields if f"{name}." in result.stdout]
    assert {"openflow", "ovsdb", "rest", "netflow", "engine", "analyzer"} <= set(sections)


@pytest.mark.parametrize("command", ["engine", "analyzer", "settings", "status"])
def test_wrong_settings_end_every_command_with_one_line(tmp_path: Path, command: str) -> None:
    """File and key, status 1."""
    (tmp_path / "dynseg.yaml").write_text("rest: {prot: 1}\n")
    result = CliRunner().invoke(main, [command], env={"DYNSEG_CONFIG": str(tmp_path / "dynseg.yaml")})
    assert result.exit_code == 1
    assert "rest.prot" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_python_m_is_dynseg() -> None:
    """Both names start the same."""
    for command in ([sys.executable, "-m", "cli.main"], [str(Path(sys.executable).with_name("dynseg"))]):
        done = subprocess.run([*command, "--help"], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0
        assert "replay" in done.stdout


def test_replay_wants_a_file_and_a_folder(tmp_path: Path) -> None:
    """A missing file or no --out is a usage error."""
    assert CliRunner().invoke(main, ["replay", str(tmp_path / "none.csv"), "--out", str(tmp_path)]).exit_code == 2
    (tmp_path / "test.csv").write_text(HEADER)
    assert CliRunner().invoke(main, ["replay", str(tmp_path / "test.csv")]).exit_code == 2
