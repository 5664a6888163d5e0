"""A database as line protocol: what comes out is what went in."""

from __future__ import annotations

import gzip
from pathlib import Path

import httpx
import pytest
from support.metrics import recorded

from dashboards.influxql import InfluxQl
from mininet_labs import recording
from mininet_labs.observe import DATABASE, prepare
from mininet_labs.stores import InfluxDb

pytestmark = pytest.mark.cluster

STRANGE = [
    'm,node=a\\ b\\,c,other=\\=x text="a \\"quoted\\" text, 😀",whole=5i 1795406160000',
    "m,node=a\\ b\\,c,other=\\=x share=0.5 1795406170000",
    "m,node=n share=1,whole=-3i 1795406160000",
]


def test_what_comes_out_is_what_went_in(tmp_path: Path) -> None:
    """Integers stay integers, texts and names keep what is special in them; so does all of a recorded run."""
    kept = [*STRANGE, *recorded()]
    with InfluxDb(tmp_path / "db") as store, InfluxQl(prepare(store)) as client:
        client.ask('ALTER RETENTION POLICY "raw" ON "dynseg" DURATION INF')
        parameters = {"db": DATABASE, "precision": "ms"}
        body = "\n".join(kept).encode()
        httpx.post(f"{store.url}/write", params=parameters, content=body, trust_env=False).raise_for_status()
        count = recording.record(client, tmp_path / "out.gz")
    found = gzip.decompress((tmp_path / "out.gz").read_bytes()).decode().splitlines()
    assert count == len(found)
    assert set(found) == set(kept)
