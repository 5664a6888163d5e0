"""When the analyzer learns, fits and judges. Fitting and loading run in a thread of their own: collection goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from analyzer.baseline import Baseline
from analyzer.core import Core
from analyzer.following import Following, Relearned
from analyzer.modelstore import Fit, Loaded, ModelStore
from runtime.errors import ModelError
from runtime.settings import AnalyzerSettings

FEWEST_SAMPLES = 200
"""Windows below which a new baseline would know less than the old one."""

log = logging.getLogger("dynseg.analyzer.learning")


class Phase(StrEnum):
    """What the analyzer is doing."""

    WAITING = "waiting"
    """For the first flow, or for `analyzer.learn_when`."""
    LEARNING = "learning"
    FITTING = "fitting"
    JUDGING = "judging"


@dataclass(frozen=True)
class _Work:
    """What the thread is at."""

    future: Future[Loaded | None]
    failed: str
    """How to say that it did not succeed."""
    version: int | None = None
    """The one it was told to load."""


class Learning:
    """Leads a `Core` from its first flow to judging, and from one baseline to the next. Times are monotonic seconds."""

    def __init__(self, core: Core, settings: AnalyzerSettings, store: ModelStore, inventory: str, vms: int) -> None:
        """Take up the saved baseline when there is one for this inventory (its digest), else learn.

        A saved baseline that was changed or is damaged is not loaded: that is logged, and learning begins anew.
        """
        self._core = core
        self._settings = settings
        self._store = store
        self._inventory = inventory
        self._vms = vms
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="fit")
        self._work: _Work | None = None
        self._until = 0.0
        self._relearn_at: float | None = None
        self._seen: int | None = None
        """The version that was last looked at, whether it could be loaded or not."""
        self.version: int | None = None
        self.phase = Phase.WAITING
        self.problem = ""
        """Why a saved baseline could not be used, or a new one not be made."""
        try:
            self._seen = store.current()
            saved = store.load(inventory)
        except ModelError as error:
            log.warning("%s; learning anew", error)
            self.problem, saved = str(error), None
        if saved is not None:
            self._judge(saved)
        elif self._seen is not None and not self.problem:
            self.problem = f"baseline {self._seen} was learned under another inventory; learning anew"
            log.warning("%s", self.problem)

    def step(self, now: float, flows: bool) -> None:
        """Go on to the next phase when it is time; `flows`: some came in since the last step."""
        if self._work is not None:
            if self._work.future.done():
                self._done(self._work)
        elif self.phase is Phase.WAITING and flows and self._may_learn():
            log.info("learning what is normal for %g s", self._settings.learn_seconds)
            self._core.restart_learning()
            self._until = now + self._settings.learn_seconds
            self.phase = Phase.LEARNING
        elif self.phase is Phase.LEARNING and now >= self._until:
            self.phase = Phase.FITTING
            fit = self._core.stop_learning()
            self._begin(lambda: self._make(fit), "no baseline could be made")
        elif self.phase is Phase.JUDGING:
            self._look_after(now)

    def seconds_left(self, now: float) -> float:
        """Until learning ends; 0 in other phases."""
        return max(0.0, self._until - now) if self.phase is Phase.LEARNING else 0.0

    def status(self) -> dict[str, Any]:
        """The version that judges, and how far traffic has moved away from it."""
        following = self._core.following
        drift = [] if following is None else following.drift()
        return {
            "version": self.version,
            "samples": 0 if following is None else following.samples,
            "left_out": 0 if following is None else following.left_out,
            "drift": [
                {"segment": d.segment, "share": round(d.share, 4), "vms": list(d.vms), "deployment": d.deployment}
                for d in drift
            ],
        }

    def wait(self) -> None:
        """Until a fit that runs is done; the next `step` takes its result."""
        if self._work is not None:
            wait([self._work.future])

    def close(self) -> None:
        """Wait for a fit that runs: its files are either whole or not there."""
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _may_learn(self) -> bool:
        return self._settings.learn_when is None or self._settings.learn_when.exists()

    def _look_after(self, now: float) -> None:
        """Take up another version when a person chose one; learn from what stayed clean when it is time."""
        try:
            chosen = self._store.current()
        except ModelError as error:
            self.problem = str(error)
            return
        if chosen != self._seen:
            self._seen = chosen
            self._begin(lambda: self._store.load(self._inventory), "the chosen baseline is not taken up", chosen)
        elif self._settings.relearn_seconds and self._core.following is not None:
            if self._relearn_at is None:
                self._relearn_at = now + self._settings.relearn_seconds
            if now >= self._relearn_at and self._core.following.samples >= FEWEST_SAMPLES:
                self._relearn_at = None
                again = self._core.following.successor()
                self._begin(lambda: self._remake(again), "no new baseline could be made, the old one goes on")

    def _begin(self, work: Callable[[], Loaded | None], failed: str, version: int | None = None) -> None:
        self._work = _Work(self._worker.submit(work), failed, version)

    def _make(self, fit: Fit) -> Loaded:
        baseline = fit(self._settings.seed, self._inventory)
        return Loaded(self._store.save(baseline, "learned"), baseline, None)

    def _remake(self, again: Callable[[int, str], Relearned]) -> Loaded | None:
        made = again(self._settings.seed, self._inventory)
        note = f"deployment in segments {', '.join(map(str, made.deployed))}" if made.deployed else "learned on"
        self._store.save(made.baseline, note, anchor=bool(made.deployed))
        return self._store.load(self._inventory)

    def _done(self, work: _Work) -> None:
        self._work = None
        error = work.future.exception()
        if error is None and (loaded := work.future.result()) is not None:
            self.problem = ""
            self._judge(loaded)
            return
        why = error or f"version {work.version} was learned under another inventory"
        log.error("%s: %s: %s", work.failed, type(why).__name__, why, exc_info=error)
        self.problem = f"{work.failed}: {why}"
        if self.phase is Phase.FITTING:
            self.phase = Phase.WAITING

    def _judge(self, loaded: Loaded) -> None:
        log.info("judging by baseline %d (%d s of traffic)", loaded.number, loaded.baseline.span)
        self.version = self._seen = loaded.number
        self._core.judge_by(replace(loaded.baseline, anchor=loaded.anchor))
        anchor: Baseline = loaded.anchor or loaded.baseline
        if self._settings.relearn_seconds:
            delay = self._settings.learn_delay_seconds
            self._core.following = Following(anchor, loaded.baseline, self._vms, delay)
        self.phase = Phase.JUDGING
