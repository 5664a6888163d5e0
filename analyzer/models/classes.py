"""The known attacks: what the classifier may say, and what captures call them."""

from __future__ import annotations

import re
from dataclasses import dataclass

BENIGN = "benign"


@dataclass(frozen=True)
class AttackClass:
    """One kind of attack."""

    name: str
    technique: str
    """MITRE ATT&CK."""
    words: str
    """For people."""
    labels: re.Pattern[str]
    """What labels of captures say of it."""


def _class(name: str, technique: str, words: str, labels: str) -> AttackClass:
    return AttackClass(name, technique, words, re.compile(labels, re.IGNORECASE))


# The first whose pattern is found in a label is it, so what is more special stands further up. The names come from
# CIC-IDS2017/2018, UNSW-NB15, CTU-13, the Stratosphere captures, Westermo's and our own labs.
CLASSES = (
    _class("dns-tunnel", "T1071.004", "a tunnel through name servers", r"dns.?tunnel|dnscat|iodine|dns2tcp"),
    _class("exfiltration", "T1048", "data carried out", r"exfil|upload|theft"),
    _class(
        "brute-force", "T1110", "password guessing", r"brute|patator|guess|password|bad-ssh|\bspray"
    ),
    _class("lateral", "T1021", "movement from host to host", r"lateral|psexec|wmi|dcom|purplesharp|infilt"),
    _class("c2", "T1071", "a remote-controlled host", r"c2\b|c&c|\bcc\b|-cc\d|bot|\brat\b|backdoor|trojan|worm"),
    _class("flood", "T1498", "a flood", r"ddos|dos|flood|reflection|amplif"),
    _class("scan", "T1046", "a scan", r"scan|recon|probe|nmap|external-attack-to-device|analysis"),
    _class("interception", "T1557", "interception between two hosts", r"mitm|arp.?spoof|poison"),
    _class("exploit", "T1190", "an attack on a service", r"exploit|shellcode|web attack|xss|heartbleed|fuzz|generic"),
)  # fmt: skip
NAMES = tuple(found.name for found in CLASSES)
_BENIGN = re.compile(r"benign$|normal$|good|flow=(from|to)-normal|0$", re.IGNORECASE)
_UNSURE = re.compile(r"background|unknown|misconf", re.IGNORECASE)
_KNOWN = {found.name: found for found in CLASSES}


def by_name(name: str) -> AttackClass:
    """The class of this name.

    Raises:
        KeyError: there is none.
    """
    return _KNOWN[name]


def class_of(label: str, detail: str) -> str | None:
    """The class of a flow, or `benign`; None where its labels do not say: it is then not trained on.

    Args:
        label: `benign`, `malicious` and the like, or all there is; empty where only `detail` is told.
        detail: more about it.
    """
    told = (label or detail).strip()
    if _BENIGN.match(told):
        return BENIGN
    if not told or _UNSURE.search(told):
        return None
    return next((found.name for found in CLASSES if found.labels.search(f"{detail} {label}")), None)
