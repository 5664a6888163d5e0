"""What Prometheus scrapes of a process, as text: families made at each scrape, and counters that the process keeps.

Names and units follow https://prometheus.io/docs/practices/naming/. Labels are names of the inventory or one of a few
words: never an address, a rule of the moment or a flow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""What `Exposition.text` is."""
Labels = Mapping[str, str]


class Exposition:
    """The metrics of one process.

    Args:
        collect: families as they are now.
        process: the process's name, which is in `dynseg_build_info`.
        version: of the product.
    """

    def __init__(self, collect: Callable[[], Iterable[Metric]], process: str, version: str) -> None:
        self.registry = CollectorRegistry()
        """Histograms and counters that the process keeps itself are registered here."""
        self._collect = collect
        self._build = {"process": process, "version": version}
        self.registry.register(_Now(self._families))
        ProcessCollector(registry=self.registry)

    def text(self) -> bytes:
        """Everything, in the text format 0.0.4."""
        return generate_latest(self.registry)

    def _families(self) -> Iterable[Metric]:
        yield gauge("dynseg_build_info", "What runs here; always 1.", [(self._build, 1)])
        yield from self._collect()


class _Now(Collector):
    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families()

    def describe(self) -> Iterable[Metric]:
        """Nothing is known beforehand: registering asks nothing."""
        return ()


def gauge(name: str, meaning: str, samples: Iterable[tuple[Labels, float]]) -> Metric:
    """A family of gauges; all samples have the same labels."""
    return _filled(GaugeMetricFamily, name, meaning, samples)


def counter(name: str, meaning: str, samples: Iterable[tuple[Labels, float]]) -> Metric:
    """A family of counters, whose name ends in `_total`; all samples have the same labels."""
    return _filled(CounterMetricFamily, name, meaning, samples)


def _filled(
    kind: type[GaugeMetricFamily | CounterMetricFamily],
    name: str,
    meaning: str,
    samples: Iterable[tuple[Labels, float]],
) -> Metric:
    samples = list(samples)
    family = kind(name, meaning, labels=list(samples[0][0]) if samples else [])
    for labels, value in samples:
        family.add_metric(list(labels.values()), value)
    return family
