"""The lock: everything that is imported is pinned, everything pinned is what these tests run on."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TOOLS = Path("dashboards/grafana_code")
"""Makes files of the repository, with a library for development; it is not installed."""
PRODUCT = ("runtime", "topology", "policies", "analyzer", "ryu_apps", "dashboards", "cli", "mininet_labs")


def pins(file: Path) -> dict[str, str]:
    """Name -> version of every `name==version` line, those of an included file too; Ryu is pinned by its folder."""
    found = {"ryu": "4.34"} if "./deploy/ryu" in file.read_text() else {}
    for line in file.read_text().splitlines():
        if included := re.match(r"-r (\S+)", line):
            found |= pins(file.parent / included[1])
        elif pin := re.match(r"([A-Za-z0-9._-]+)==(\S+)", line):
            found[canonicalize_name(pin[1])] = pin[2]
    return found


@pytest.fixture(scope="module")
def locked(root_dir: Path) -> dict[str, str]:
    return pins(root_dir / "requirements-dev.txt")


def test_installed_is_what_is_locked(locked: dict[str, str]) -> None:
    """These tests run on the very versions that a user gets."""
    assert {name: metadata.version(name) for name in locked} == locked


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_the_lock_is_closed(root_dir: Path, file: str) -> None:
    """Whatever a locked package needs on this Python is locked too, in a version that it accepts."""
    locked, wrong = pins(root_dir / file), []
    for name in locked:
        for text in metadata.requires(name) or ():
            needed = Requirement(text)
            if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
                continue
            version = locked.get(canonicalize_name(needed.name))
            if version is None or not needed.specifier.contains(version, prereleases=True):
                wrong.append(f"{name} needs {text}, locked is {version}")
    assert wrong == []


def test_every_import_is_a_declared_dependency(root_dir: Path) -> None:
    """What product and labs import is named in pyproject.toml, not merely present through something else."""
    project = tomllib.loads((root_dir / "pyproject.toml").read_text())["project"]
    texts = project["dependencies"] + project["optional-dependencies"]["labs"]
    declared = {canonicalize_name(Requirement(text).name) for text in texts}
    owners = metadata.packages_distributions()
    undeclared = {}
    for file in (file for folder in PRODUCT for file in (root_dir / folder).rglob("*.py")):
        if file.is_relative_to(root_dir / TOOLS):
            continue
        for name in imports(file) - set(PRODUCT) - sys.stdlib_module_names:
            if not {canonicalize_name(owner) for owner in owners.get(name, ())} & declared:
                undeclared[name] = str(file.relative_to(root_dir))
    assert undeclared == {}


def test_every_declared_dependency_is_locked_and_accepted(root_dir: Path, locked: dict[str, str]) -> None:
    """The lock satisfies pyproject.toml."""
    project = tomllib.loads((root_dir / "pyproject.toml").read_text())["project"]
    for text in project["dependencies"] + project["optional-dependencies"]["labs"]:
        needed = Requirement(text)
        assert needed.specifier.contains(locked[canonicalize_name(needed.name)], prereleases=True), text


def imports(file: Path) -> set[str]:
    """Top-level names that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found
