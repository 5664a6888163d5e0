"""The writer before a database that misbehaves: nobody waits, nothing is lost uncounted, what was taken is there."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from email.utils import formatdate

import pytest
from support.control import until
from support.faulty import Database, Reply, database

from dashboards.metrics import writer as writers
from dashboards.metrics.target import Answer, Fate, Target
from dashboards.metrics.writer import Counts, Writer
from runtime.settings import MetricsSettings


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setattr(writers, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(writers, "LONGEST_PAUSE", 0.05)
    with database() as server:
        yield server


def lines(count: int, begin: int = 0) -> list[str]:
    return [f"m,n=x a={number}i {number}" for number in range(begin, begin + count)]


def settled(counts: Counts) -> bool:
    return not counts.waiting


def written(server: Database, points: list[str], **more: object) -> Counts:
    """Counts after these points were written through the real client."""
    target = Target(MetricsSettings(url=server.url, **more))
    writer = Writer(target.send, batch_points=10, most_bytes=1 << 20)
    writer.put(points)
    until(lambda: settled(writer.counts()), "everything is settled", 20)
    writer.close(1.0)
    target.close()
    return writer.counts()


def test_all_points_arrive_in_batches(server: Database) -> None:
    """Every point once, in order, of the bucket and with the precision that were set."""
    counts = written(server, lines(25), bucket="b", org="o", token="secret")
    assert server.kept == lines(25)
    assert [count for *_, count in server.requests] == [10, 10, 5]
    path, query, headers, _ = server.requests[0]
    assert (path, query) == ("/api/v2/write", {"org": ["o"], "bucket": ["b"], "precision": ["ms"]})
    assert headers["Authorization"] == "Token secret"
    assert counts.written == counts.accepted == 25
    assert counts.problem == ""


def test_the_older_interface_has_its_own_path_and_password(server: Database) -> None:
    """InfluxDB 1 takes `/write?db=` and a user's password."""
    written(server, lines(1), api="v1", bucket="d", token="user:pass")
    path, query, headers, _ = server.requests[0]
    assert (path, query) == ("/write", {"db": ["d"], "precision": ["ms"]})
    assert headers["Authorization"] == "Basic dXNlcjpwYXNz"


@pytest.mark.parametrize(
    "fault",
    [
        Reply(500, "boom"),
        Reply(503),
        Reply(429, headers={"Retry-After": "0"}),
        Reply(401, "who are you"),
        Reply(404, "no such bucket"),
        Reply(500, "taken, but who knows", takes=True),
        Reply(breaks=True),
        Reply(breaks=True, takes=True),
        Reply(302, headers={"Location": "/nowhere"}, takes=False),
        Reply(200, "<html>please log in</html>", takes=False),
    ],
    ids=["500", "503", "429", "401", "404", "500-taken", "broken-off", "broken-off-taken", "302", "login-page"],
)
def test_what_may_pass_is_tried_again(server: Database, fault: Reply) -> None:
    """After three faults everything is there; what was taken before the fault is written again as the same point."""
    faults = iter([fault] * 3)
    server.script = lambda _: next(faults, Reply())
    counts = written(server, lines(15))
    assert set(server.kept) == set(lines(15))
    assert (counts.written, counts.refused, counts.dropped) == (15, 0, 0)
    assert counts.retries == 3


def test_a_wish_to_wait_is_granted(server: Database) -> None:
    """Retry-After of one second: nothing comes before."""
    moments: list[float] = []

    def script(_: list[str]) -> Reply:
        moments.append(time.monotonic())
        return Reply() if len(moments) > 1 else Reply(429, headers={"Retry-After": "1"})

    server.script = script
    written(server, lines(1))
    assert moments[1] - moments[0] >= 1.0


@pytest.mark.parametrize("status", [400, 413, 422])
def test_only_the_bad_points_are_given_up(server: Database, status: int, caplog: pytest.LogCaptureFixture) -> None:
    """Where the database refuses a request, the points that it minds are found, counted and named; others are kept."""
    bad = set(lines(40)[7:8] + lines(40)[23:25])

    def script(got: list[str]) -> Reply:
        return Reply(status, "a point is bad") if bad & set(got) else Reply()

    server.script = script
    counts = written(server, lines(40))
    assert Counter(server.kept) == Counter(set(lines(40)) - bad)
    assert (counts.written, counts.refused) == (37, 3)
    assert "a point is bad" in caplog.text
    assert lines(40)[7] in caplog.text


def test_a_database_that_says_how_many_it_left_out_is_believed(server: Database) -> None:
    """InfluxDB 1 takes what it can and says `dropped=N`: nothing is sent again."""
    server.script = lambda got: Reply(400, '{"error":"partial write: field type conflict dropped=2"}', takes=True)
    counts = written(server, lines(10))
    assert len(server.requests) == 1
    assert (counts.written, counts.refused) == (8, 2)


def test_a_database_that_refuses_everything_is_not_asked_for_ever(
    server: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is an end to the search for good points; the rest counts as refused."""
    monkeypatch.setattr(writers, "MOST_TRIES", 20)
    server.script = lambda _: Reply(400, "no")
    target = Target(MetricsSettings(url=server.url))
    writer = Writer(target.send, batch_points=2000, most_bytes=1 << 20)
    writer.put(lines(2000))
    until(lambda: settled(writer.counts()), "everything is settled", 30)
    writer.close(1.0)
    target.close()
    assert writer.counts().refused == 2000
    assert len(server.requests) <= 2 * writers.MOST_TRIES


def test_away_means_bounded_and_counted(server: Database) -> None:
    """While nobody answers the oldest points make room; afterwards just those that were not dropped are there."""
    server.script = lambda _: Reply(503)
    target = Target(MetricsSettings(url=server.url))
    room = 40 * len(lines(1)[0])
    writer = Writer(target.send, batch_points=10, most_bytes=room)
    longest = 0.0
    for number in range(100):
        began = time.monotonic()
        writer.put(lines(10, 10 * number))
        longest = max(longest, time.monotonic() - began)
        assert writer.held_bytes <= room
    server.script = lambda _: Reply()
    until(lambda: settled(writer.counts()), "everything is settled", 20)
    writer.close(1.0)
    target.close()
    counts = writer.counts()
    assert longest < 0.5
    assert counts.dropped > 0
    assert counts.accepted == 1000 == counts.written + counts.dropped
    assert len(set(server.kept)) == counts.written
    assert lines(1, 999)[0] in server.kept, "the newest points are worth most"


def test_an_end_in_the_midst_counts_what_is_left() -> None:
    """Closing does not wait for a database that is away, and says how many points went with it."""
    writer = Writer(lambda _: Answer(Fate.LATER, "away"), batch_points=10, most_bytes=1 << 20)
    writer.put(lines(25))
    began = time.monotonic()
    writer.close(0.2)
    assert time.monotonic() - began < 5
    counts = writer.counts()
    assert (counts.dropped, counts.waiting, counts.accepted) == (25, 0, 25)


def test_nobody_there_is_not_the_end(server: Database) -> None:
    """A port where nobody listens, then a database: the points of before come, too."""
    target = Target(MetricsSettings(url="http://127.0.0.1:9"))
    answer = target.send(b"m a=1i 1")
    target.close()
    assert answer.fate is Fate.LATER
    assert "refused" in answer.reason


def test_the_databases_clock_is_compared(server: Database) -> None:
    """An hour ahead shows as an hour."""
    server.date = formatdate(time.time() + 3600, usegmt=True)
    counts = written(server, lines(1))
    assert counts.clock_offset == pytest.approx(3600, abs=3)
