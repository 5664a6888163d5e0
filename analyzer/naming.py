"""Names of addresses in what people read: reasons of verdicts and flows."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from ipaddress import ip_address

from analyzer.dns.passive import PassiveDns
from analyzer.risk import Finding, Verdict
from topology.model import Address

_ADDRESS = re.compile(
    r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f]*:[0-9a-f:]*:[0-9a-f]*)(?![\w:]|\.\d)", re.IGNORECASE
)


def named(text: str, name_of: Callable[[Address], str | None]) -> str:
    """The text with the name of each address that has one behind it: `203.0.113.9 (evil.example)`."""

    def add(found: re.Match[str]) -> str:
        try:
            name = name_of(ip_address(found[0]))
        except ValueError:
            return found[0]
        return found[0] if name is None else f"{found[0]} ({name})"

    return _ADDRESS.sub(add, text)


def explained(verdict: Verdict, dns: PassiveDns) -> Verdict:
    """A verdict whose reasons name addresses: as the VM knows them, or, of an outside address, as anybody does."""

    def name_of(address: Address) -> str | None:
        return dns.name_of(verdict.vm, address) if verdict.vm else dns.anybodys_name_of(address)

    def tell(finding: Finding) -> str:
        return named(finding.reason, name_of)

    findings = tuple(replace(finding, tell=partial(tell, finding)) for finding in verdict.findings)
    return replace(verdict, findings=findings)
