"""Labelled captures in the formats that data sets come in, and what their labels mean."""

from pathlib import Path

import numpy as np
import pytest

from analyzer.flows import ACK, FIN, SYN, FlowState
from analyzer.importers import files, unsw
from analyzer.models import labelled
from analyzer.models.classes import BENIGN, class_of
from analyzer.site import FlowFileError, Site

CIC17 = (
    "Flow ID, Source IP, Source Port, Destination IP, Destination Port, Protocol, Timestamp, Flow Duration,"
    " Total Fwd Packets, Total Backward Packets,Total Length of Fwd Packets, Total Length of Bwd Packets,"
    " Fwd Header Length, Bwd Header Length,FIN Flag Count, SYN Flag Count, RST Flag Count, PSH Flag Count,"
    " ACK Flag Count, Label\n"
    "a,172.16.0.1,52108,192.168.10.50,22,6,4/7/2017 2:09,12000000,20,33,2008,2745,640,1056,0,0,0,1,0,SSH-Patator\n"
    "b,192.168.10.5,5353,192.168.10.3,53,17,4/7/2017 2:09,-1,1,1,40,80,20,20,0,0,0,0,0,BENIGN\n"
)
CIC18 = (
    "Dst Port,Protocol,Timestamp,Flow Duration,Tot Fwd Pkts,Tot Bwd Pkts,TotLen Fwd Pkts,TotLen Bwd Pkts,"
    "Fwd Header Len,Bwd Header Len,FIN Flag Cnt,SYN Flag Cnt,RST Flag Cnt,PSH Flag Cnt,ACK Flag Cnt,Label\n"
    "443,6,02/03/2018 08:47:38,1000000,5,4,500,400,100,80,1,1,0,1,1,Bot\n"
    "Dst Port,Protocol,Timestamp,Flow Duration,Tot Fwd Pkts,Tot Bwd Pkts,TotLen Fwd Pkts,TotLen Bwd Pkts,"
    "Fwd Header Len,Bwd Header Len,FIN Flag Cnt,SYN Flag Cnt,RST Flag Cnt,PSH Flag Cnt,ACK Flag Cnt,Label\n"
    "80,6,02/03/2018 08:47:40,x,5,4,500,400,100,80,1,1,0,1,1,Benign\n"
)
UNSW = (
    "id,dur,proto,service,state,spkts,dpkts,sbytes,dbytes,ct_state_ttl,attack_cat,label\n"
    "1,0.5,tcp,http,FIN,10,8,900,5000,1,Reconnaissance,1\n"
    "2,0.1,udp,dns,CON,1,1,70,150,1,Normal,0\n"
)
CTU = (
    "StartTime,Dur,Proto,SrcAddr,Sport,Dir,DstAddr,Dport,State,sTos,dTos,TotPkts,TotBytes,SrcBytes,Label\n"
    "2011/08/10 09:46:53.047277,1.0,tcp,147.32.84.165,1577,->,77.238.184.150,80,SRPA_SPA,0,0,15,3999,1000,"
    "flow=From-Botnet-V42-TCP-CC53\n"
    "2011/08/10 09:46:54.047277,1.0,udp,147.32.84.59,1578,<->,147.32.80.9,53,CON,0,0,2,200,80,flow=From-Normal-V42\n"
    "2011/08/10 09:46:55.047277,1.0,udp,147.32.84.59,1578,<->,147.32.80.9,53,CON,0,0,2,200,80,flow=Background-UDP\n"
)
ZEEK = (
    "#separator \\x09\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\t"
    "orig_bytes\tresp_bytes\thistory\torig_pkts\tresp_pkts\tlabel\tdetailedlabel\n"
    "1.0\tC1\t10.0.0.5\t1\t10.0.0.9\t23\ttcp\t-\t-\t0\t0\tS\t1\t0\tMalicious\tPartOfAHorizontalPortScan\n"
    "2.0\tC2\t10.0.0.5\t1\t10.0.0.9\t80\ttcp\t-\t-\t0\t0\tS\t1\t0\tBenign\t-\n"
)


def kinds(path: Path, text: str) -> list[str | None]:
    path.write_text(text)
    return list(labelled.read(str(path), []).kind)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CIC17, [BENIGN, "brute-force"]),
        (CIC18, ["c2"]),
        (UNSW, [BENIGN, "scan"]),
        (CTU, ["c2", BENIGN, None]),
        (ZEEK, ["scan", BENIGN]),
    ],
    ids=["CIC-IDS2017", "CIC-IDS2018", "UNSW-NB15", "CTU-13", "Zeek"],
)
def test_labels_of_data_sets_are_understood(tmp_path: Path, text: str, expected: list[str | None]) -> None:
    """Each format's own words become our classes, ordered by the flows' ends; background is nobody's."""
    assert kinds(tmp_path / "flows", text) == expected


def test_cic_flows_are_read_as_meant(tmp_path: Path) -> None:
    """Microseconds, payload bytes plus headers, and -1 for a flow of one moment."""
    path = tmp_path / "day.csv"
    path.write_text(CIC17)
    rows = files.read(path, Site.of([])).batch.rows
    assert (rows["end"] - rows["start"]).tolist() == [0.0, 12.0]
    guess = rows[1]
    assert (guess["dst_port"], guess["src_pkts"], guess["dst_bytes"]) == (22, 20, 2745 + 1056 + 33 * 20)
    assert guess["src_vm"] > 0


def test_flows_without_addresses_are_nobodys(tmp_path: Path) -> None:
    """CIC-IDS2018 tells no addresses: no VM, nothing counted; a wrong cell is named by its line."""
    path = tmp_path / "day.csv"
    path.write_text(CIC18)
    found = files.read(path, Site.of([]))
    (row,) = found.batch.rows
    assert (row["src_vm"], row["src_segment"], row["proto"]) == (-1, -1, 6)
    assert row["flags"] & (SYN | FIN | ACK) == SYN | FIN | ACK
    assert [told.rsplit("/", 1)[1] for told in found.faults.told()] == ["day.csv:4: its duration is none: 'x'"]


def test_unsws_raw_files_have_no_header(tmp_path: Path) -> None:
    """49 columns by position, hexadecimal ports, a dash where there is none."""
    cells = dict.fromkeys(unsw.RAW, "0") | {
        "srcip": "175.45.176.1", "sport": "0x000c", "dstip": "10.40.85.30", "dsport": "-", "proto": "tcp",
        "state": "REQ", "dur": "1.0", "spkts": "2", "sbytes": "120", "stime": "1421927414", "ltime": "1421927415",
        "attack_cat": " Fuzzers ", "label": "1",
    }  # fmt: skip
    path = tmp_path / "UNSW-NB15_1.csv"
    path.write_text(",".join(cells[name] for name in unsw.RAW) + "\n")
    read = labelled.read(str(path), [])
    (row,) = read.batch.rows
    assert (row["src_port"], row["dst_port"], row["end"] - row["start"]) == (12, 0, 1.0)
    assert row["state"] & FlowState.FAILED
    assert list(read.kind) == ["exploit"]


def test_a_class_can_be_said_for_a_whole_capture(tmp_path: Path) -> None:
    """`PATH=CLASS` names what is malicious and leaves what is benign; an unknown class and no labels are refused."""
    path = tmp_path / "x.csv"
    path.write_text(ZEEK)
    assert list(labelled.read(f"{path}=brute-force", []).kind) == ["brute-force", BENIGN]
    with pytest.raises(FlowFileError, match="no class 'nonsense'"):
        labelled.read(f"{path}=nonsense", [])
    path.write_text(ZEEK.replace("\tlabel\tdetailedlabel", "").replace("\tMalicious\tPartOfAHorizontalPortScan", ""))
    with pytest.raises(FlowFileError, match="has no labels"):
        labelled.read(str(path), [])


@pytest.mark.parametrize(
    ("label", "detail", "expected"),
    [
        ("benign", "web", BENIGN), ("", "BENIGN", BENIGN), ("", "Infilteration", "lateral"), ("malicious", "", None),
        ("malicious", "NST=BAD-SSH;IT=BAD-SSH", "brute-force"), ("malicious", "C2 covenant", "c2"), ("", "", None),
        ("misconfig", "NST=BAD-MISCONF", None), ("unknown", "ddos", None), ("", "DDoS attack-HOIC", "flood"),
        ("malicious", "lateral file move (SMB)", "lateral"), ("", "DNS tunnel dnscat2", "dns-tunnel"),
    ],
)  # fmt: skip
def test_labels_become_classes(label: str, detail: str, expected: str | None) -> None:
    """What does not say which attack it is is not trained on."""
    assert class_of(label, detail) == expected


def test_the_analyzer_takes_no_notice_of_labels(tmp_path: Path) -> None:
    """The flows of a labelled file are those of the same file without labels."""
    flows = []
    for text in (ZEEK, ZEEK.replace("Malicious", "Benign").replace("PartOfAHorizontalPortScan", "-")):
        path = tmp_path / "conn.log"
        path.write_text(text)
        flows.append(files.read(path, Site.of([])).batch.rows)
    assert np.array_equal(flows[0], flows[1])
