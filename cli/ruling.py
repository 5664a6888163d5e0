"""Commands about segmentation rules: to see, make, approve and end them, and what becomes of automatic ones."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from cli.asking import as_json, ask, reason, seconds, show

RULE = (
    "id",
    "state",
    "action",
    "source_vm",
    "source_ip",
    "destination_vm",
    "protocol",
    "port",
    "scope",
    "mode",
    "risk",
)
RULES = (*RULE, "issuer", "expires", "until", "reasons", "detail")
STEPS = ("isolate", "restrict", "steer", "rate_limit", "deny")
MODES = ("observe", "propose", "enforce")
USUAL = "as-set"
"""What the settings say, instead of a mode."""

mode = click.option(
    "--mode", type=click.Choice(MODES), help="Only count, wait for somebody else's approval, or enforce."
)
false_alarm = click.option("--false-alarm", is_flag=True, help="It answered nothing bad: no probation, no offence.")


@click.group(invoke_without_command=True)
@click.option("--state", help="Only rules in this state.")
@as_json
@click.pass_context
def rules(context: click.Context, state: str | None, as_json: bool) -> None:
    """The segmentation rules; approve, reject or release one."""
    if context.invoked_subcommand is None:
        show(ask("GET", "/v1/rules", state=state), as_json, RULES)


@rules.command()
@click.argument("rule_id", metavar="RULE")
@reason
@as_json
def approve(rule_id: str, reason: str | None, as_json: bool) -> None:
    """Let a rule that waits come into force."""
    show(ask("POST", f"{_path(rule_id)}/approve", reason=reason), as_json)


@rules.command()
@click.argument("rule_id", metavar="RULE")
@reason
@as_json
def reject(rule_id: str, reason: str | None, as_json: bool) -> None:
    """Say no to a rule that waits; it is not proposed again for a while."""
    show(ask("POST", f"{_path(rule_id)}/reject", reason=reason), as_json)


@click.command()
@click.argument("rule_id", metavar="RULE")
@reason
@false_alarm
@as_json
def release(rule_id: str, reason: str | None, false_alarm: bool, as_json: bool) -> None:
    """Take a rule back; an automatic one leaves on probation."""
    show(ask("DELETE", _path(rule_id), reason=reason, false_alarm="true" if false_alarm else None), as_json)


rules.add_command(release)


@click.command()
@click.argument("rule_id", metavar="RULE")
@as_json
def rule(rule_id: str, as_json: bool) -> None:
    """One segmentation rule with its reasons and VFNs."""
    show(ask("GET", _path(rule_id)), as_json)


@click.command()
@click.argument("vm_name", metavar="VM")
@click.option("--scope", type=click.Choice(["all", "other_segments"]), help="How far; all by default.")
@seconds
@reason
@as_json
def isolate(vm_name: str, scope: str | None, seconds: float | None, reason: str | None, as_json: bool) -> None:
    """Isolate a VM."""
    path = f"/v1/vms/{quote(vm_name, safe='')}/isolate"
    show(ask("POST", path, scope=scope, seconds=seconds, reason=reason), as_json)


@click.command()
@click.argument("vm_name", metavar="VM")
@click.option(
    *("--peer", "peers"),
    multiple=True,
    required=True,
    metavar="NET[,PROTOCOL[,PORT]]",
    help="Whom it may still talk with, as in 10.0.0.0/24,tcp,443; may be given again.",
)
@mode
@seconds
@reason
@as_json
def restrict(vm_name: str, peers: tuple[str, ...], **fields: Any) -> None:
    """Let a VM talk with some peers only."""
    _create("restrict", source_vm=vm_name, peers=[_peer(peer) for peer in peers], **fields)


@click.command()
@click.argument("who", metavar="VM|ADDRESS")
@click.option("--rate", type=click.IntRange(min=1), help="Packets per second; as set for the network by default.")
@mode
@seconds
@reason
@as_json
def limit(who: str, **fields: Any) -> None:
    """Limit how many packets a VM exchanges, or an address sends."""
    address = not who.isalnum() and set(who) <= set("0123456789abcdefABCDEF.:/")
    fields["source_ip" if address else "source_vm"] = who
    _create("rate_limit", **fields)


@click.command()
@click.argument("vm_name", metavar="VM")
@click.argument("target", metavar="INSPECTION_VM")
@click.option("--mirror", is_flag=True, default=None, help="Send a copy there, and the traffic its way.")
@mode
@seconds
@reason
@as_json
def steer(vm_name: str, target: str, **fields: Any) -> None:
    """Send what a VM exchanges to an inspection VM on its VFN."""
    _create("steer", source_vm=vm_name, target=target, **fields)


@click.command()
@click.argument("source_ip")
@click.argument("vm_name", metavar="DESTINATION_VM")
@click.option("--port", type=click.IntRange(1, 65535), help="Destination port; all by default.")
@click.option("--protocol", type=click.Choice(["tcp", "udp", "icmp", "any"]), default="any", show_default=True)
@mode
@seconds
@reason
@as_json
def allow(source_ip: str, vm_name: str, **fields: Any) -> None:
    """Accept what an address or network sends to a VM."""
    _create("allow", source_ip=source_ip, destination_vm=vm_name, **fields)


@click.command()
@click.argument("source_ip")
@mode
@seconds
@reason
@as_json
def deny(source_ip: str, **fields: Any) -> None:
    """Drop everything from and to an outside address."""
    _create("deny", source_ip=source_ip, **fields)


@click.command()
@click.argument("switch", type=click.Choice(["on", "off"]))
@reason
@as_json
def hold(switch: str, reason: str | None, as_json: bool) -> None:
    """Let all automatic rules wait for approval from now on, or no more."""
    show(ask("PUT", "/v1/hold", on=switch == "on", reason=reason), as_json)


@click.command()
@click.option("--overall", type=click.Choice([*MODES, USUAL]), help="Of the whole network.")
@click.option("--segment", "segments", multiple=True, metavar="NAME=MODE", help="Of rules about VMs of a segment.")
@click.option("--action", "actions", multiple=True, metavar="ACTION=MODE", help=f"Of {', '.join(STEPS)}.")
@as_json
def modes(overall: str | None, segments: tuple[str, ...], actions: tuple[str, ...], as_json: bool) -> None:
    """What becomes of automatic rules; with options, change it. `as-set` goes back to the settings."""
    fields: dict[str, Any] = {} if overall is None else {"overall": _mode(overall)}
    fields |= {"segments": _modes(segments)} if segments else {}
    fields |= {"actions": _modes(actions)} if actions else {}
    show(ask("PUT", "/v1/modes", nulls=True, **fields) if fields else ask("GET", "/v1/modes"), as_json)


def _create(action: str, *, as_json: bool, **fields: Any) -> None:
    show(ask("POST", "/v1/rules", action=action, **fields), as_json)


def _path(rule_id: str) -> str:
    return f"/v1/rules/{quote(rule_id, safe='')}"


def _peer(text: str) -> dict[str, Any]:
    net, *service = text.split(",")
    if len(service) > 2 or (len(service) == 2 and not service[1].isdigit()):
        raise click.BadParameter(f"{text!r} is not NET, NET,PROTOCOL or NET,PROTOCOL,PORT", param_hint="--peer")
    peer: dict[str, Any] = {"net": net, **dict(zip(("protocol", "port"), service, strict=False))}
    return {**peer, "port": int(service[1])} if len(service) == 2 else peer


def _modes(pairs: tuple[str, ...]) -> dict[str, str | None]:
    chosen = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or text not in (*MODES, USUAL):
            raise click.BadParameter(f"{pair!r} is not NAME={'|'.join((*MODES, USUAL))}")
        chosen[name] = _mode(text)
    return chosen


def _mode(text: str) -> str | None:
    return None if text == USUAL else text


COMMANDS: tuple[click.Command, ...] = (
    rules, rule, isolate, restrict, limit, steer, allow, deny, release, hold, modes,
)  # fmt: skip
