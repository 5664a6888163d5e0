"""Captures in the lab: who plays whom, what is rewritten how, and a small one through real VFNs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path

import dpkt
import pytest

from mininet_labs.errors import LabError
from mininet_labs.replay import __main__ as entry
from mininet_labs.replay.cast import PRIVATE, Address, cast
from mininet_labs.replay.rewrite import hosts, rewrite
from mininet_labs.run import ENTERPRISE
from topology import inventory as inventories

NET = inventories.load(ENTERPRISE / "inventory.yaml")
CLIENT, SERVER, OTHER, STRANGER = (IPv4Address(a) for a in ("10.5.5.5", "10.5.5.9", "10.5.5.7", "198.18.7.7"))
ROUTER_MAC, CLIENT_MAC = bytes.fromhex("020000aaaa01"), bytes.fromhex("020000aaaa02")


def ipv4(source: IPv4Address, target: IPv4Address, content: dpkt.Packet, **more: int) -> bytes:
    protocol = {dpkt.tcp.TCP: 6, dpkt.udp.UDP: 17, dpkt.icmp.ICMP: 1}[type(content)]
    packet = dpkt.ip.IP(src=source.packed, dst=target.packed, p=protocol, data=content, **more)
    packet.len = len(packet)
    return bytes(dpkt.ethernet.Ethernet(dst=ROUTER_MAC, src=CLIENT_MAC, data=bytes(packet), type=0x0800))


def datagram(source: IPv4Address, target: IPv4Address, size: int, port: int = 5000) -> bytes:
    content = dpkt.udp.UDP(sport=40_000, dport=port, data=bytes(range(size)), ulen=8 + size)
    return ipv4(source, target, content)


def segment(source: IPv4Address, target: IPv4Address, ports: tuple[int, int], flags: int, size: int = 0) -> bytes:
    return ipv4(source, target, dpkt.tcp.TCP(sport=ports[0], dport=ports[1], flags=flags, seq=7, data=bytes(size)))


def write(path: Path, frames: Sequence[tuple[float, bytes]]) -> Path:
    with path.open("wb") as file:
        writer = dpkt.pcap.Writer(file)
        for time, frame in frames:
            writer.writepkt(frame, time)
    return path


def read(path: Path) -> list[tuple[float, dpkt.ethernet.Ethernet]]:
    with path.open("rb") as file:
        return [(float(time), dpkt.ethernet.Ethernet(frame)) for time, frame in dpkt.pcap.UniversalReader(file)]


def test_the_busiest_hosts_inside_become_vms_and_all_outside_share_a_port() -> None:
    """Each with an address of its own; a host beyond the lab's VMs has no role."""
    many: dict[Address, int] = {IPv4Address(f"10.6.0.{i}"): 1000 - i for i in range(1, 21)}
    outside: dict[Address, int] = {IPv4Address("198.18.0.0") + i: 5 for i in range(1, 300)}
    roles = cast({**many, **outside, IPv4Address("224.0.0.251"): 9, IPv6Address("2001:db8::1"): 1}, NET)
    vms = list(NET.vms.values())
    assert [roles[host].endpoint for host in list(many)[: len(vms)]] == [vm.name for vm in vms]
    assert roles[IPv4Address("10.6.0.1")].address == vms[0].addresses[0]
    assert set(list(many)[len(vms) :]).isdisjoint(roles)
    assert {roles[host].endpoint for host in outside} == {list(NET.outside)[-1]}
    assert len({roles[host].address for host in outside}) == len(outside)
    assert IPv4Address("224.0.0.251") not in roles


def test_frames_are_rewritten_in_order_with_right_checksums(tmp_path: Path) -> None:
    """Each endpoint sends its own, at the capture's times; addresses and MACs are the lab's."""
    capture = write(tmp_path / "in.pcap", [
        (100.0, segment(CLIENT, SERVER, (4000, 80), 2)),
        (100.5, segment(SERVER, CLIENT, (80, 4000), 18)),
        (101.0, segment(CLIENT, SERVER, (4000, 80), 16, 700)),
        (101.25, datagram(CLIENT, STRANGER, 40)),
    ])  # fmt: skip
    roles = cast(hosts(capture), NET)
    (tmp_path / "out").mkdir()
    made = rewrite(capture, roles, tmp_path / "out")
    assert made.seconds == 1.25
    parts = {part.endpoint: part for part in made.slices}
    assert {name: (part.frames, part.begins) for name, part in parts.items()} == {
        roles[CLIENT].endpoint: (3, 0.0), roles[SERVER].endpoint: (1, 0.5),
    }  # fmt: skip
    sent = read(parts[roles[CLIENT].endpoint].path)
    assert [time for time, _ in sent] == [100.0, 101.0, 101.25]
    for (_, frame), target in zip(sent, (SERVER, SERVER, STRANGER), strict=True):
        assert frame.src == bytes.fromhex(roles[CLIENT].mac.replace(":", ""))
        assert frame.dst == bytes.fromhex(roles[target].mac.replace(":", ""))
        assert (frame.data.src, frame.data.dst) == (roles[CLIENT].address.packed, roles[target].address.packed)
        again = dpkt.ip.IP(bytes(frame.data))
        again.sum = again.data.sum = 0
        assert bytes(again) == bytes(frame.data)
    assert len(sent[1][1].data.data.data) == 700


def test_what_the_capture_has_cut_off_is_made_up_with_zeros(tmp_path: Path) -> None:
    """A snapshot length takes nothing from the sizes of packets."""
    capture = write(tmp_path / "in.pcap", [(1.0, datagram(CLIENT, SERVER, 200)[:60])])
    made = rewrite(capture, cast(hosts(capture), NET), tmp_path)
    ((_, frame),) = read(made.slices[0].path)
    assert (frame.data.len, len(frame.data.data.data)) == (228, 200)


def test_what_cannot_be_played_is_counted(tmp_path: Path) -> None:
    """No IP, hosts without a role, strangers among themselves, giants; multicast goes on as it is."""
    arp = dpkt.ethernet.Ethernet(dst=b"\xff" * 6, src=CLIENT_MAC, type=0x0806, data=bytes(28))
    group = IPv4Address("224.0.0.251")
    capture = write(tmp_path / "in.pcap", [
        (1.0, bytes(arp)),
        (2.0, datagram(STRANGER, IPv4Address("198.18.7.8"), 10)),
        (3.0, segment(CLIENT, SERVER, (1, 2), 16, 3000)),
        (4.0, datagram(CLIENT, group, 10)),
        (5.0, b"\x02"),
    ])  # fmt: skip
    made = rewrite(capture, cast(hosts(capture), NET), tmp_path)
    assert made.left_out == {"no IP": 2, "between hosts outside": 1, "larger than a frame": 1}
    ((_, frame),) = read(made.slices[0].path)
    assert (frame.dst, frame.data.dst) == (ROUTER_MAC, group.packed)
    inside = (ip_network("192.0.2.0/24"),)
    capture = write(tmp_path / "in.pcap", [(1.0, datagram(CLIENT, SERVER, 10))])
    with pytest.raises(LabError, match="hosts outside"):
        rewrite(capture, cast(hosts(capture), NET, inside), tmp_path)


def test_a_cut_capture_is_an_error(tmp_path: Path) -> None:
    """Named, with what to do; so is a file that is none."""
    (tmp_path / "none.pcap").write_bytes(b"GET / HTTP/1.1")
    for path in (tmp_path / "none.pcap", tmp_path / "absent.pcap"):
        with pytest.raises(LabError, match="cannot be read"):
            hosts(path)


@pytest.mark.ovs
@pytest.mark.slow
def test_a_capture_goes_through_real_vfns(tmp_path: Path) -> None:
    """The analyzer tells the capture's flows with the capture's packets, between the VMs that play its hosts."""
    talk = [(1.0, segment(CLIENT, SERVER, (4000, 80), 2)), (1.1, segment(SERVER, CLIENT, (80, 4000), 18))]
    talk += [(1.2 + i / 50, segment(CLIENT, SERVER, (4000, 80), 16, 500)) for i in range(30)]
    talk += [(2.0 + i / 50, datagram(OTHER, STRANGER, 64)) for i in range(25)]
    talk += [(2.01 + i / 50, ipv4(STRANGER, OTHER, dpkt.udp.UDP(sport=5000, dport=40_000, data=bytes(9), ulen=17)))
             for i in range(25)]  # fmt: skip
    capture = write(tmp_path / "in.pcap", sorted(talk))
    assert entry.main([str(capture), "--out", str(tmp_path / "out"), "--speed", "2"]) == 0
    told, flows = (json.loads((tmp_path / "out" / name).read_text()) for name in ("replay.json", "flows.json"))
    assert told["left_out"] == {}
    roles = cast(hosts(capture), NET, PRIVATE)
    (tcp,) = [flow for flow in flows[roles[CLIENT].endpoint] if flow["dst_port"] == 80]
    assert (tcp["dst"], tcp["src_pkts"], tcp["dst_pkts"]) == (str(roles[SERVER].address), 31, 1)
    (udp,) = [flow for flow in flows[roles[OTHER].endpoint] if flow["dst_port"] == 5000]
    assert (udp["dst"], udp["src_pkts"], udp["dst_pkts"]) == (str(roles[STRANGER].address), 25, 25)
