"""`dynseg log trail`: a rule's lines, in whichever form the processes write them."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import main
from runtime import log

RULE, OTHER, PROPOSAL = "54a2e9d5ab0f", "d1aebcfaaf47", 1795448962272


@pytest.fixture
def files(request: pytest.FixtureRequest, tmp_path: Path) -> list[Path]:
    """Logs of an analyzer, an engine and a control, as the processes write them."""
    told: dict[str, list[tuple[str, dict[str, Any]]]] = {
        "analyzer": [("proposing", {"proposal": PROPOSAL, "flows": ["10.0.1.1:4000>10.0.3.1:22/tcp"]})],
        "engine": [
            ("a proposal is admitted", {"proposal": PROPOSAL, "rule": RULE}),
            ("a proposal is refused", {"proposal": PROPOSAL + 1, "rule": OTHER}),
            ("installed", {"rules": [OTHER, RULE], "vfn": "leaf1"}),
        ],
        "control": [("the switch has carried out what was sent", {"rules": [RULE], "vfn": "leaf1", "request": 7})],
    }
    written = []
    for process, events in told.items():
        stream = io.StringIO()
        logger = log.configure(process, "INFO", request.param, stream)
        try:
            for text, fields in events:
                logger.info(text, extra=fields)
        finally:
            logger.handlers = []
            logger.setLevel(logging.NOTSET)
            logger.propagate = True
        file = tmp_path / f"{process}.log"
        file.write_text(f"Traceback (most recent call last):\n{{ broken\n{stream.getvalue()}")
        written.append(file)
    return written


@pytest.mark.parametrize("files", ["human", "json"], indirect=True)
def test_a_rule_leads_from_its_flows_to_what_the_switch_was_sent(files: list[Path]) -> None:
    """Lines with its id, alone or among others, and those of its proposal; in the order of their times."""
    done = CliRunner().invoke(main, ["log", "trail", RULE, *map(str, files)])
    lines = done.output.splitlines()
    assert done.exit_code == 0
    said = ("10.0.1.1:4000>10.0.3.1:22/tcp", "is admitted", "installed", "carried out")
    assert len(lines) == len(said)
    assert all(text in line for text, line in zip(said, lines, strict=True))


@pytest.mark.parametrize("files", ["human"], indirect=True)
def test_a_rule_that_nobody_speaks_of_is_an_error(files: list[Path]) -> None:
    """An empty trail would look like one that was followed; the beginning of an id is no id."""
    for rule in ("ffffffffffff", RULE[:6]):
        done = CliRunner().invoke(main, ["log", "trail", rule, *map(str, files)])
        assert done.exit_code == 1
        assert f"nothing is said of {rule}" in done.output
        assert str(files[0]) in done.output
