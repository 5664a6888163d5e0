"""What is normal: learned from flows and windows of a quiet time, for each segment and each VM."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from analyzer.density import SMALLEST_TRAINING, Density
from analyzer.features import FLOW_FEATURES
from analyzer.flows import F4, F8, I8, Array, Bool
from analyzer.known import KnownKeys
from analyzer.observe import COUNTER_FEATURES, FEATURES, PASSIVE_FEATURES, Novelty
from analyzer.peers import PEER
from analyzer.sampling import due
from analyzer.windows import LENGTHS, usual_over

log = logging.getLogger("dynseg.analyzer.baseline")
POOLED = -2
"""Stands for all segments inside together; serves those with too little of their own."""
WARM_UP = 1 / 3
"""Share of the learning time whose windows are not learned from: at first everybody is new to everybody."""
SAMPLE_SECONDS = 1.0
"""A subject's windows are sampled this often."""
MOST_SAMPLES = 40_000
OWN_SAMPLES = 20
"""A VM with fewer samples has no history of its own; its segment's holds."""
GROWTH = 2.0
"""Times what was usual to the anchor that may become usual without a deployment."""
_LEFT_OUT = tuple(FEATURES.index(name) for name in COUNTER_FEATURES)
_SUFFERED = tuple(FEATURES.index(name) for name in PASSIVE_FEATURES)
"""A victim is not abnormal because it is hit."""


class Reservoir:
    """Rows in order of arrival; when there are too many, every other one is dropped, again and again."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._stride = 1
        self._seen = 0
        self._held = 0
        self._parts: list[Array] = []

    def add(self, rows: Array) -> None:
        """Keep each `stride`-th row."""
        offset = -self._seen % self._stride
        self._seen += len(rows)
        part = rows[offset :: self._stride].copy()
        self._parts.append(part)
        self._held += len(part)
        while self._held > 2 * self._most:
            kept = np.concatenate(self._parts)[::2].copy()
            self._parts, self._held, self._stride = [kept], len(kept), self._stride * 2

    def replace(self, rows: Array) -> None:
        """Keep these instead, which are some of those that are kept."""
        self._parts, self._held = [rows], len(rows)

    def rows(self) -> Array | None:
        """All that is kept; None when nothing ever came."""
        return np.concatenate(self._parts) if self._parts else None


WINDOW = np.dtype(
    [("time", "<f8"), ("vm", "<i4"), ("segment", "<i2"), ("values", "<f4", (len(LENGTHS), len(FEATURES)))]
)
FLOW_SAMPLE = np.dtype([("segment", "<i2"), ("values", "<f4", (len(FLOW_FEATURES),))])


class Learner:
    """Collects what a baseline is fitted on. Memory is bounded."""

    def __init__(self) -> None:
        self._windows, self._flows = Reservoir(MOST_SAMPLES), Reservoir(MOST_SAMPLES)
        self._sampled = np.full(1, -np.inf)
        self.flows = 0
        self.windows = 0
        self.began: float | None = None
        self.ended = 0.0

    def add_flows(self, segment: Array, features: F4) -> None:
        """Features of finished flows, and the segment of their initiators."""
        part = np.zeros(len(segment), FLOW_SAMPLE)
        part["segment"], part["values"] = segment, features
        self._flows.add(part)
        self.flows += len(part)

    def add_windows(self, now: F8, subject: I8, vm: Array, segment: Array, values: F8) -> None:
        """Windows (`Windows.values`) of subjects that were active, in order of time; VM 0 for outside addresses."""
        if not len(now):
            return
        if subject.max() >= len(self._sampled):
            grown = np.full(2 * int(subject.max()) + 1, -np.inf)
            grown[: len(self._sampled)] = self._sampled
            self._sampled = grown
        taken = due(now, subject, self._sampled, SAMPLE_SECONDS)
        part = np.zeros(len(taken), WINDOW)
        part["time"], part["vm"], part["segment"] = now[taken], vm[taken], segment[taken]
        part["values"] = values[:, taken].transpose(1, 0, 2)
        self.take_windows(part)
        self.began = float(now[0]) if self.began is None else min(self.began, float(now[0]))
        self.ended = max(self.ended, float(now[-1]))

    def take_windows(self, samples: Array) -> None:
        """Samples as they are (dtype `WINDOW`)."""
        if len(samples):
            first = float(samples["time"].min())
            self.began = first if self.began is None else min(self.began, first)
            self.ended = max(self.ended, float(samples["time"].max()))
        self._windows.add(samples)
        self.windows += len(samples)

    def keep(self, windows: Callable[[Array], Bool], flows: Callable[[Array], Bool]) -> None:
        """Drop the samples that these refuse."""
        for reservoir, wanted in ((self._windows, windows), (self._flows, flows)):
            rows = reservoir.rows()
            if rows is not None and len(rows):
                reservoir.replace(rows[wanted(rows)])

    def fit(self, known: KnownKeys, vms: int, seed: int, inventory: str, warm_up: float = WARM_UP) -> Baseline:
        """The baseline of all that was collected; of little, what is thought before, and that is said."""
        baseline, windows, flows = self.fitted(known, vms, seed, inventory, warm_up)
        if min(windows, flows) < SMALLEST_TRAINING:
            log.warning(
                "%d windows and %d flows of VMs are too few to learn from: what is normal is a guess. Learn longer, or"
                " from more; with `dynseg replay`, name --train files with traffic from --internal networks",
                windows, flows,
            )  # fmt: skip
        return baseline

    @classmethod
    def prior(cls, salt: int) -> Baseline:
        """What is thought where nothing was learned; `salt` is of hashes."""
        keys = np.zeros(0, np.uint64)
        return cls().fitted(KnownKeys(salt, keys, keys, keys, np.zeros(0, PEER)), 0, 0, "", WARM_UP)[0]

    def fitted(
        self, known: KnownKeys, vms: int, seed: int, inventory: str, warm_up: float
    ) -> tuple[Baseline, int, int]:
        """The same, and how many windows and flows of VMs it stands on."""
        windows = self._windows.rows()
        windows = np.zeros(0, WINDOW) if windows is None else windows
        flows = self._flows.rows()
        flows = np.zeros(0, FLOW_SAMPLE) if flows is None else flows
        began = self.began or 0.0
        span = max(0.0, self.ended - began)
        windows = windows[windows["time"] >= began + warm_up * span]
        span *= 1 - warm_up
        digest = hashlib.sha256(windows.tobytes() + flows.tobytes()).hexdigest()
        segments = sorted({0, *windows["segment"].tolist(), *flows["segment"].tolist()})
        settled = [vm for vm in range(1, vms + 1) if (windows["vm"] == vm).sum() >= OWN_SAMPLES]
        baseline = Baseline(
            known=known,
            inventory=inventory,
            training=digest,
            span=span,
            flows=_flow_models(flows, segments, seed),
            windows=_window_models(windows, segments, span, seed),
            segment_usual=_highest(windows, "segment", [*segments, POOLED]),
            vm_usual=_highest(windows, "vm", settled),
            novelty=_novelty(flows[int(len(flows) * warm_up) :], segments),
        )
        return baseline, int((windows["segment"] != 0).sum()), int((flows["segment"] != 0).sum())


@dataclass(frozen=True)
class Baseline:
    """What is normal. Plain arrays and numbers, so that it can be saved."""

    known: KnownKeys
    inventory: str
    """Digest of the inventory it was learned under."""
    training: str
    """Digest of what it was learned from."""
    span: float
    """Seconds that were learned from."""
    flows: Mapping[int, Density]
    """By segment; always holds 0 (outside) and POOLED."""
    windows: Mapping[int, Mapping[int, Density]]
    """By segment and position in LENGTHS; 0 and POOLED likewise."""
    segment_usual: Mapping[int, F8]
    """Highest (lengths, features) of any VM of the segment while learning."""
    vm_usual: Mapping[int, F8]
    """The same of one VM, where there were enough samples."""
    novelty: Mapping[int, F8]
    """Share of a segment's flows, after the warm-up, that were new: peer inside, service inside, address outside,
    service outside. Of the outside (0): share of all flows."""
    anchor: Baseline | None = None
    """The frozen one beside it, which has a say: what it finds abnormal is. It is saved on its own."""

    @property
    def calibration(self) -> dict[str, float]:
        """What the tails stand on, for the manifest: scores that 1 % and 0.1 % of held-out rows inside reach."""
        flows, windows = self.flows[POOLED], self.windows[POOLED]
        parts = {"flows": flows, **{f"windows {LENGTHS[i]:g}s": model for i, model in windows.items()}}
        return {
            f"{name} p={p:g}": round(model.tail.score(p), 6) for name, model in parts.items() for p in (0.01, 0.001)
        }

    def flow_model(self, segment: int) -> Density:
        """What judges flows of a segment: its own model, or that of all inside."""
        return self.flows.get(segment, self.flows[POOLED])

    def window_models(self, segment: int) -> Mapping[int, Density]:
        """The same of windows, by position in LENGTHS."""
        return self.windows.get(segment, self.windows[POOLED])

    def flow_p(self, segment: Array, features: F8 | F4) -> F8:
        """Share of its segment's normal flows that are as unusual as each flow."""
        result = np.ones(len(segment))
        for number, which in _groups(segment):
            result[which] = self.flow_model(number).p(features[which])
        return result

    def novelty_p(self, rows: Array, novelty: Novelty) -> F8:
        """Share of normal flows that were as new in any respect, by their initiator's segment (dtype FLOW).

        What is sent to a group (broadcast, multicast) reaches no service: there only the peer may be new.
        """
        result = np.ones(len(rows))
        inside, segment = rows["dst_segment"] != 0, rows["src_segment"]
        served = rows["dst_segment"] > 0
        kinds = (inside & novelty.peer, served & novelty.service, ~inside & novelty.outside, ~inside & novelty.service)
        for number, which in _groups(segment):
            for new, rate in zip(kinds, self.novelty.get(number, self.novelty[POOLED]).tolist(), strict=True):
                found = result[which]
                result[which] = np.where(new[which], np.minimum(found, len(kinds) * rate), found)
        return np.minimum(result, 1.0)

    def window_p(self, segment: Array, values: F8, elapsed: F8 | float = np.inf) -> F8:
        """Share of its segment's normal windows that are as unusual as each subject's, over all learned lengths."""
        return over_lengths(self.window_tails(segment, values, elapsed))

    def window_tails(self, segment: Array, values: F8, elapsed: F8 | float = np.inf) -> F8:
        """The same for each length, (lengths, subjects); NaN where there is no model.

        `elapsed` is for how many seconds windows have been filled: longer ones are not full, which looks unusual, and
        are not asked about.
        """
        result = np.full((len(LENGTHS), len(segment)), np.nan)
        logs: dict[int, F4] = {}
        for number, which in _groups(segment):
            for length, model in self.window_models(number).items():
                if length not in logs:
                    columns = np.maximum(values[length].T, 0)  # a feature of all subjects is in one place
                    logs[length] = np.log1p(columns, dtype=np.float32).T
                result[length, which] = model.p(logs[length][which])
        result[np.asarray(LENGTHS)[:, None] > np.broadcast_to(elapsed, len(segment))] = np.nan
        if self.anchor is not None:
            result = np.fmin(result, self.anchor.window_tails(segment, values, elapsed))
        return result

    def usual(self, vm: Array, segment: Array) -> tuple[F8, F8]:
        """Highest usual values (lengths, subjects, features): of each one itself, and of its segment."""
        factor = usual_over(self.span)[:, None, None]
        pooled = self.segment_usual[POOLED]
        groups = [self.segment_usual.get(s, pooled) for s in segment.tolist()]
        own = [self.vm_usual.get(v, group) for v, group in zip(vm.tolist(), groups, strict=True)]
        shape = (len(LENGTHS), 0, len(FEATURES))
        if not own:
            return np.zeros(shape), np.zeros(shape)
        usual = np.stack(own, axis=1) * factor, np.stack(groups, axis=1) * factor
        if self.anchor is None:
            return usual
        once = self.anchor.usual(vm, segment)
        return np.minimum(usual[0], GROWTH * once[0]), np.minimum(usual[1], GROWTH * once[1])


def over_lengths(tails: F8) -> F8:
    """One p of those of (lengths, subjects): the lowest, for as many tries as there are lengths (Bonferroni)."""
    asked = ~np.isnan(tails)
    return np.asarray(np.minimum(1.0, np.where(asked, tails, 1.0).min(axis=0) * np.maximum(asked.sum(axis=0), 1)))


def _groups(segment: Array) -> Iterator[tuple[int, I8 | slice]]:
    """Each segment's number and where it is."""
    if not len(segment):
        return
    least = int(segment.min())
    numbers = np.flatnonzero(np.bincount(segment - least)) + least
    for number in numbers.tolist():
        yield number, np.flatnonzero(segment == number) if len(numbers) > 1 else slice(None)


def _flow_models(flows: Array, segments: list[int], seed: int) -> dict[int, Density]:
    inside = flows["segment"] != 0
    models = {POOLED: Density.fit(flows["values"][inside].astype(np.float64), seed)}
    for segment in segments:
        own = flows["segment"] == segment
        if segment == 0 or SMALLEST_TRAINING <= own.sum() < inside.sum():
            models[segment] = Density.fit(flows["values"][own].astype(np.float64), seed)
    return models


def _window_models(windows: Array, segments: list[int], span: float, seed: int) -> dict[int, dict[int, Density]]:
    """Models for the lengths that fit into the learning time at least three times (or the second, lacking any)."""
    lengths = [i for i, length in enumerate(LENGTHS) if 3 * length <= span] or [1]

    def fit(which: Array) -> dict[int, Density]:
        logs, time = np.log1p(windows["values"][which].astype(np.float64)), windows["time"][which]
        vms = len(np.unique(windows["vm"][which]))
        return {
            i: Density.fit(
                logs[:, i], seed, _LEFT_OUT, ignored=_SUFFERED, time=time, lasting=LENGTHS[i],
                independent=vms * max(span, 1.0) / LENGTHS[i],  # of a VM, those that do not overlap
            )
            for i in lengths
        }  # fmt: skip

    inside = windows["segment"] != 0
    models = {POOLED: fit(inside)}
    for segment in segments:
        own = windows["segment"] == segment
        if segment == 0 or 5 * SMALLEST_TRAINING <= own.sum() < inside.sum():
            models[segment] = fit(own)
    return models


def _novelty(flows: Array, segments: list[int]) -> dict[int, F8]:
    """By segment, Laplace's half added (nothing is thought impossible because it was not seen)."""
    outside, peer, address, service = (
        flows["values"][:, FLOW_FEATURES.index(name)] > 0.5
        for name in ("outside", "new_peer", "new_outside", "new_service")
    )
    kinds = np.stack([~outside & peer, ~outside & service, outside & address, outside & service], axis=-1)
    rates = {}
    for number in [POOLED, *segments]:
        own = flows["segment"] != 0 if number == POOLED else flows["segment"] == number
        total = len(flows) if number == 0 else own.sum()
        rates[number] = (kinds[own].sum(axis=0) + 0.5) / (total + 1)
    return rates


def _highest(windows: Array, by: str, numbers: list[int]) -> dict[int, F8]:
    """Upper end of each window feature by segment or VM: the 99.9 % quantile, so that one odd moment is no licence."""
    found = {}
    for number in numbers:
        rows = windows["values"][windows[by] != 0 if number == POOLED else windows[by] == number]
        shape = rows.shape[1:]
        found[number] = np.quantile(rows, 0.999, axis=0).astype(np.float64) if len(rows) else np.zeros(shape)
    return found
