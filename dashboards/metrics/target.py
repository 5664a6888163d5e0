"""One request to the time-series database, by `influxdb-client`, and what its answer means."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import Any

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from runtime.settings import MetricsSettings

_DROPPED = re.compile(r"\bdropped=(\d+)")
_TAKEN = 204
"""What InfluxDB 1 to 3 and VictoriaMetrics answer. A 200 is somebody else's: a login page, a server of another kind."""
_NOT_THESE = (400, 413, 422)
"""Something is wrong with the points, or they are too many at once. All else may be otherwise the next time."""
_LONGEST_REASON = 300


class Fate(Enum):
    """What became of the points of a request."""

    TAKEN = auto()
    """Confirmed, but for `Answer.refused` of them."""
    REFUSED = auto()
    """The database would not have them, or some of them."""
    LATER = auto()
    """It is away, overloaded, or does not let us in: try again."""


@dataclass(frozen=True)
class Answer:
    """The answer to a request."""

    fate: Fate
    reason: str = ""
    refused: int = 0
    """Points of those it took that it says it left out."""
    retry_after: float | None = None
    """Seconds that it asks us to wait."""
    clock_offset: float | None = None
    """Seconds by which its clock is ahead of ours, as its `Date` has it (to a second); None: it does not say."""


class Target:
    """The database. `send` waits for its answer, so it belongs into a thread of its own."""

    def __init__(self, settings: MetricsSettings) -> None:
        assert settings.url is not None, "nobody writes without a url"
        secret = None if settings.token is None else settings.token.get_secret_value()
        self._settings = settings
        v2 = settings.api == "v2"
        self._client: Any = InfluxDBClient(
            url=settings.url.rstrip("/"),
            token=(secret or "") if v2 else "",
            org=settings.org,
            timeout=round(settings.timeout_seconds * 1000),
        )
        self._writes: Any = self._client.write_api(write_options=SYNCHRONOUS)
        self._headers = {"Content-Type": "text/plain; charset=utf-8"}
        if settings.authorization is not None and not v2:
            self._headers["Authorization"] = settings.authorization

    def send(self, body: bytes) -> Answer:
        """Send lines (with times in milliseconds)."""
        began = time.time()
        try:
            if self._settings.api == "v2":
                self._writes.write(self._settings.bucket, record=body, write_precision="ms")
            else:
                self._write_v1(body)
        except ApiException as error:
            return _understood(error, began)
        except (HTTPError, OSError) as error:
            return Answer(Fate.LATER, f"{type(error).__name__}: {error}"[:_LONGEST_REASON])
        except UnicodeDecodeError as error:
            return Answer(Fate.LATER, f"the answer is no text: {error}"[:_LONGEST_REASON])
        answer = self._client.api_client.last_response
        if answer.status != _TAKEN:
            return Answer(Fate.LATER, f"{answer.status}, where a time-series database says {_TAKEN}: is it one?")
        return Answer(Fate.TAKEN, clock_offset=_offset(answer.getheaders(), began))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _write_v1(self, body: bytes) -> None:
        query = [("db", self._settings.bucket), ("precision", "ms")]
        self._client.api_client.call_api(
            "/write", "POST", query_params=query, header_params=dict(self._headers), body=body, auth_settings=[]
        )


def _understood(error: ApiException, began: float) -> Answer:
    status = int(error.status or 0)
    headers: Mapping[str, str] = error.headers or {}
    told = str(error.body or error.reason or "no reason given").strip()
    reason = f"{status}: {told}"[:_LONGEST_REASON]
    offset = _offset(headers, began)
    if status in _NOT_THESE:
        left_out = _DROPPED.search(told)
        if left_out is not None:  # InfluxDB has taken the others
            return Answer(Fate.TAKEN, reason, refused=int(left_out[1]), clock_offset=offset)
        return Answer(Fate.REFUSED, reason, clock_offset=offset)
    return Answer(Fate.LATER, reason, retry_after=_seconds(headers.get("Retry-After")), clock_offset=offset)


def _seconds(header: str | None) -> float | None:
    return float(header) if header is not None and header.isdecimal() else None


def _offset(headers: Mapping[str, str], began: float) -> float | None:
    try:
        told = parsedate_to_datetime(headers["Date"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return None
    # The header has whole seconds: it is behind by half of one on average.
    return told + 0.5 - (began + time.time()) / 2
