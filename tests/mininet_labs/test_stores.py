"""The servers of metrics that labs start: they serve, keep what they were given, and are gone afterwards."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from mininet_labs.errors import LabError
from mininet_labs.stores import InfluxDb, Store, VictoriaMetrics

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("kind", [InfluxDb, VictoriaMetrics])
def test_a_store_serves_inside_its_block_only(kind: type[Store], tmp_path: Path) -> None:
    """After the block nobody listens at its port any more."""
    with kind(tmp_path) as store:
        assert httpx.get(f"{store.url}{store.healthy}", trust_env=False).is_success
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{store.url}{store.healthy}", trust_env=False)


def test_a_store_that_comes_back_has_its_data(tmp_path: Path) -> None:
    """What was written before a stop is answered after the next start, at the same port."""
    with InfluxDb(tmp_path) as store, httpx.Client(base_url=store.url, trust_env=False) as client:
        client.post("/query", params={"q": "CREATE DATABASE d"}).raise_for_status()
        client.post("/write", params={"db": "d"}, content=b"a,b=c x=1 1000000000").raise_for_status()
        port = store.port
        store.stop()
        with store:
            assert store.port == port
            found = client.get("/query", params={"db": "d", "q": "SELECT x FROM a"}).json()
            assert found["results"][0]["series"][0]["values"][0][1] == 1


def test_a_program_that_is_not_there_is_named_with_its_package(tmp_path: Path) -> None:
    """The remedy is the package's name."""

    class Missing(InfluxDb):
        program = "no-such-program-here"

    with pytest.raises(LabError, match="influxdb"), Missing(tmp_path):
        pass
