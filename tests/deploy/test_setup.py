"""Set-up says what it lacks, and the scripts around it are sound."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = ("deploy/setup.sh", "deploy/ovs", ".ci/run")


@pytest.fixture
def tree(root_dir: Path, tmp_path: Path) -> Path:
    """The project's set-up in a folder of its own, without .venv."""
    shutil.copytree(root_dir / "deploy", tmp_path / "deploy")
    for name in ("requirements.txt", "requirements-dev.txt", "pyproject.toml"):
        shutil.copy(root_dir / name, tmp_path)
    return tmp_path


def setup(tree: Path, *words: str, **tools: str) -> subprocess.CompletedProcess[str]:
    """Run set-up with some tools of the system replaced by scripts of these lines."""
    folder = tree / "tools"
    folder.mkdir()
    for name, line in tools.items():
        file = folder / name.replace("_", "-")
        file.write_text(f"#!/bin/sh\n{line}\n")
        file.chmod(0o755)
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHON": "python-of-the-test"}
    command = [str(tree / "deploy" / "setup.sh"), *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_missing_packages_without_root_are_named(tree: Path) -> None:
    """Who is not root gets the one command that an administrator must run, and nothing is tried."""
    done = setup(tree, dpkg_query="[ $3 = nmap ] || [ $3 = ethtool ] || echo 'ii '", id="echo 1000", apt_get="exit 99")
    assert done.returncode == 1
    assert "not root" in done.stderr
    assert done.stderr.rstrip().endswith("--no-install-recommends ethtool nmap")


def test_only_missing_packages_are_installed(tree: Path) -> None:
    """With root, apt is asked for what is missing and for nothing else; then set-up goes on to Python."""
    log = tree / "apt.log"
    apt = f'echo "$@" >>{log}'
    done = setup(tree, dpkg_query="[ $3 = hping3 ] || echo 'ii '", id="echo 0", apt_get=apt)
    assert log.read_text().splitlines() == ["update", "install --yes --no-install-recommends hping3"]
    assert "python-of-the-test is missing or older than 3.11" in done.stderr


def test_nothing_missing_means_no_apt(tree: Path) -> None:
    """When all packages are there apt is not called, not even to update."""
    done = setup(tree, dpkg_query="echo 'ii '", id="echo 0", apt_get=f"touch {tree / 'called'}")
    assert not (tree / "called").exists()
    assert "PYTHON=" in done.stderr


def test_a_failing_step_shows_what_it_said(tree: Path) -> None:
    """The words of a failed command are shown, with its exit status, and set-up stops there."""
    done = setup(tree, dpkg_query="true", id="echo 0", apt_get="echo no network here; exit 7")
    assert done.returncode == 1
    assert "no network here" in done.stderr
    assert "exit 7" in done.stderr
    assert "Python" not in done.stdout


def test_a_system_without_apt_is_told_what_it_needs(tree: Path) -> None:
    """On another distribution the list of packages is shown."""
    (tree / "bin").mkdir()
    for tool in ("bash", "dirname", "mktemp", "rm"):
        (tree / "bin" / tool).symlink_to(shutil.which(tool) or "")
    command = [tree / "deploy" / "setup.sh"]
    env = {"PATH": str(tree / "bin")}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "not a Debian system" in done.stderr
    assert "openvswitch-switch" in done.stderr


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_executable_and_parse(root_dir: Path, script: str) -> None:
    """A script that cannot be run would only be noticed on a new machine."""
    assert os.access(root_dir / script, os.X_OK)
    subprocess.run(["bash", "-n", root_dir / script], check=True)


def test_unknown_options_are_refused(tree: Path) -> None:
    """A typing mistake does not start an installation."""
    done = setup(tree, "--devel", dpkg_query="echo 'ii '")
    assert (done.returncode, done.stderr) == (2, "usage: deploy/setup.sh [--dev]\n")


def test_make_help_names_every_target(root_dir: Path) -> None:
    """`make` alone lists what there is."""
    shown = subprocess.run(["make", "-C", root_dir, "--no-print-directory"], capture_output=True, text=True, check=True)
    for target in ("demo", "test", "unit", "lint", "bench-contain", "clean"):
        assert f"make {target} " in shown.stdout
