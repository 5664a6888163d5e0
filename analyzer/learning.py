"""When the analyzer learns, fits and judges. Fitting runs in a thread of its own: collection goes on."""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor, wait
from enum import StrEnum
from pathlib import Path

from analyzer import modelstore
from analyzer.baseline import Baseline
from analyzer.core import Core
from runtime.errors import ModelError
from runtime.settings import AnalyzerSettings

log = logging.getLogger("dynseg.analyzer.learning")


class Phase(StrEnum):
    """What the analyzer is doing."""

    WAITING = "waiting"
    """For the first flow, or for `analyzer.learn_when`."""
    LEARNING = "learning"
    FITTING = "fitting"
    JUDGING = "judging"


class Learning:
    """Leads a `Core` from its first flow to judging. Times are monotonic seconds."""

    def __init__(self, core: Core, settings: AnalyzerSettings, models: Path, inventory: str) -> None:
        """Take up a saved baseline when there is one for this inventory (its digest), else learn.

        A saved baseline that was changed or is damaged is not loaded: that is logged, and learning begins anew.
        """
        self._core = core
        self._settings = settings
        self._models = models
        self._inventory = inventory
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="fit")
        self._fit: Future[Baseline] | None = None
        self._until = 0.0
        self.phase = Phase.WAITING
        self.problem = ""
        """Why a saved baseline could not be used, or a new one not be made."""
        try:
            saved = modelstore.load(models, inventory)
        except ModelError as error:
            log.warning("%s; learning anew", error)
            self.problem, saved = str(error), None
        if saved is not None:
            log.info("judging by the baseline in %s (%d s of traffic)", models, saved.span)
            self._judge(saved)

    def step(self, now: float, flows: bool) -> None:
        """Go on to the next phase when it is time; `flows`: some came in since the last step."""
        if self.phase is Phase.WAITING and flows and self._may_learn():
            log.info("learning what is normal for %g s", self._settings.learn_seconds)
            self._core.restart_learning()
            self._until = now + self._settings.learn_seconds
            self.phase = Phase.LEARNING
        elif self.phase is Phase.LEARNING and now >= self._until:
            fit = self._core.stop_learning()
            self._fit = self._worker.submit(self._make, fit)
            self.phase = Phase.FITTING
        elif self.phase is Phase.FITTING and self._fit is not None and self._fit.done():
            self._fitted(self._fit)

    def seconds_left(self, now: float) -> float:
        """Until learning ends; 0 in other phases."""
        return max(0.0, self._until - now) if self.phase is Phase.LEARNING else 0.0

    def wait(self) -> None:
        """Until a fit that runs is done; the next `step` takes its result."""
        if self._fit is not None:
            wait([self._fit])

    def close(self) -> None:
        """Wait for a fit that runs: its files are either whole or not there."""
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _may_learn(self) -> bool:
        return self._settings.learn_when is None or self._settings.learn_when.exists()

    def _make(self, fit: modelstore.Fit) -> Baseline:
        baseline = fit(self._settings.seed, self._inventory)
        modelstore.save(self._models, baseline)
        return baseline

    def _fitted(self, fit: Future[Baseline]) -> None:
        self._fit = None
        error = fit.exception()
        if error is None:
            log.info("baseline fitted and saved in %s; judging", self._models)
            self._judge(fit.result())
            return
        log.error("no baseline could be made, learning again: %s: %s", type(error).__name__, error, exc_info=error)
        self.problem = f"no baseline could be made: {error}"
        self.phase = Phase.WAITING

    def _judge(self, baseline: Baseline) -> None:
        self._core.judge_by(baseline)
        self.phase = Phase.JUDGING
