"""InfluxQL as Grafana writes it, and what becomes of servers that answer something else."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards import resolutions
from dashboards.influxql import InfluxQl, Place, Series, Span, expand, place_of
from dashboards.metrics.schema import MEASUREMENTS, Kind
from mininet_labs.stores import InfluxDb, VictoriaMetrics
from runtime.errors import MetricsError
from runtime.settings import MetricsSettings

SPAN = Span(1000.0, 2000.5, 30)
NAMES = st.text(alphabet=st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=12)


def test_macros_and_variables_get_their_values() -> None:
    """Time range, interval, one value, several, and `All`."""
    query = 'SELECT x FROM "${policy}"."m" WHERE $timeFilter AND "vm" =~ /^$vm$/'
    query += ' AND "vfn" =~ /^$vfn$/ GROUP BY time($__interval)'
    assert expand(query, SPAN, {"policy": ["raw"], "vm": ["web1", "web2"]}) == (
        'SELECT x FROM "raw"."m" WHERE time >= 1000000ms AND time < 2000500ms AND "vm" =~ /^(web1|web2)$/'
        ' AND "vfn" =~ /^.*$/ GROUP BY time(30s)'
    )


@given(st.lists(NAMES, min_size=1, max_size=4), NAMES)
def test_chosen_values_match_themselves_and_nothing_else(values: list[str], other: str) -> None:
    """Whatever stands in a name, dots, brackets and slashes too."""
    expanded = expand("/^$vm$/", SPAN, {"vm": values})
    assert re.fullmatch(r"(?s)/\^.*\$/", expanded)
    pattern = re.compile(expanded[1:-1].replace("\\/", "/"))
    assert all(pattern.fullmatch(value) for value in values)
    assert bool(pattern.fullmatch(other)) == (other in values)


def test_a_series_gives_numbers_and_rows() -> None:
    """What is missing is no number; rows have their tags."""
    series = Series("m", {"vm": "web1"}, ("time", "value"), [[1.0, 5], [2.0, None]])
    assert np.array_equal(series.numbers("value"), [5.0, np.nan], equal_nan=True)
    assert series.dicts()[0] == {"vm": "web1", "time": 1.0, "value": 5}


def test_the_secret_goes_along_and_is_not_shown() -> None:
    """As each interface of InfluxDB wants it."""
    v1 = place_of(MetricsSettings(url="http://127.0.0.1:1/", api="v1", token="me:secret"))
    v2 = place_of(MetricsSettings(url="http://127.0.0.1:1", token="secret"))
    assert v1 is not None
    assert v2 is not None
    assert (v1.authorization, v1.url) == ("Basic bWU6c2VjcmV0", "http://127.0.0.1:1")
    assert v2.authorization == "Token secret"
    assert "secret" not in repr(v2)
    assert place_of(MetricsSettings()) is None


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """A server that answers everything so."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (500, b"<html>", "answers 500 and no JSON"),
        (401, b'{"error": "authorization failed"}', "authorization failed"),
        (200, b'{"results": [{"error": "retention policy not found"}]}', "retention policy not found; asked: SELECT 1"),
        (200, b'{"results": [{"series": []}]}', "does not say what it keeps"),
    ],
)
def test_answers_that_are_none_are_told(status: int, body: bytes, words: str) -> None:
    """With what the server said, and what to do."""
    with answering(status, body) as url, InfluxQl(Place(url, "dynseg")) as client, pytest.raises(MetricsError) as error:
        if client.ask("SELECT 1") == []:
            resolutions.looked_at(0, 60, client)
    assert words in str(error.value)
    assert error.value.remedy


def test_a_server_that_is_not_there_is_told() -> None:
    """With its address and the setting it stands in."""
    with InfluxQl(Place("http://127.0.0.1:9", "dynseg")) as client, pytest.raises(MetricsError, match=r"metrics\.url"):
        client.ask("SHOW MEASUREMENTS")


@given(st.floats(1, 5 * 365 * 86_400))
def test_every_range_has_a_resolution_that_can_be_drawn(seconds: float) -> None:
    """Not more than some hundred intervals, and never finer than what its policy keeps."""
    suits = resolutions.suiting(seconds)
    assert seconds / suits.seconds <= 400 or suits is resolutions.RESOLUTIONS[-1]
    assert suits.seconds >= (resolutions.FINE_SECONDS if suits.policy == resolutions.FINE else 10)
    assert suits.policy == resolutions.FINE or seconds <= resolutions.RAW_DAYS * 86_400


def test_of_what_is_older_than_fine_points_are_kept_coarse_ones_are_read() -> None:
    """However short the range is."""
    week = resolutions.RAW_DAYS * 86_400.0
    ends = {now: resolutions.looked_at(0.0, 600.0, now=now) for now in (None, week - 1, week)}
    assert [variables["policy"] for _, variables in ends.values()] == [["raw"], ["raw"], ["five_minutes"]]
    assert ends[week][0].step == resolutions.FINE_SECONDS


def test_every_number_is_sampled_down() -> None:
    """Each measurement without texts, with all its fields and tags."""
    made = dict(resolutions.rollups("db"))
    for measurement in MEASUREMENTS:
        if any(field.kind is Kind.TEXT for field in measurement.fields):
            assert measurement.full_name not in made
            continue
        query = made[measurement.full_name]
        for field in measurement.fields:
            assert f'{field.rollup.value}("{field.name}") AS "{field.name}"' in query
        assert all(f'"{tag}"' in query.split("GROUP BY")[1] for tag in ("node", *measurement.tags))


@pytest.mark.cluster
def test_victoriametrics_is_told_from_a_server_that_answers(tmp_path: Path) -> None:
    """It has an answer to everything, which is none."""
    with VictoriaMetrics(tmp_path) as store, InfluxQl(Place(store.url, "dynseg")) as client:
        assert client.ask("SHOW RETENTION POLICIES") != []
        with pytest.raises(MetricsError, match="does not say what it keeps") as error:
            resolutions.looked_at(0, 60, client)
    assert "VictoriaMetrics" in str(error.value)


@pytest.mark.cluster
def test_a_database_is_made_once_and_can_be_read_where_it_was_not(tmp_path: Path) -> None:
    """Making it again changes nothing; of a database that keeps points otherwise the default policy is read."""
    with InfluxDb(tmp_path) as store, InfluxQl(Place(store.url, "dynseg")) as client:
        assert resolutions.main([store.url, "dynseg"]) == 0
        assert resolutions.main([store.url, "dynseg"]) == 0
        queries = {row["name"] for each in client.ask("SHOW CONTINUOUS QUERIES") for row in each.dicts()}
        assert len(queries) == len(dict(resolutions.rollups("dynseg")))
        span, variables = resolutions.looked_at(0, 86_400, client)
        assert (span.step, variables["policy"], variables["pairs"]) == (900, ["five_minutes"], ["dynseg_pairs"])
        assert variables["coarse"] == ["five_minutes"]
        client.ask('CREATE DATABASE "other"')
        with InfluxQl(Place(store.url, "other")) as plain:
            _, variables = resolutions.looked_at(0, 86_400, plain)
            assert (variables["policy"], variables["pairs"]) == (["autogen"], ["dynseg_flows"])
            assert variables["coarse"] == ["autogen"]
        with pytest.raises(MetricsError, match="not found"):
            client.write("m x=1 1", "no-such-policy")


def test_a_database_that_cannot_be_made_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Status 1 and why."""
    assert resolutions.main(["http://127.0.0.1:9", "dynseg"]) == 1
    assert "is the server up?" in capsys.readouterr().err
