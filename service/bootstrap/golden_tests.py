# SPDX-License-Identifier: Apache-2.0
"""Lets loaded packages reproduce their golden outputs again and again; one that does not goes out of service."""

import threading

from service.bootstrap.messages import REPORTS
from service.bootstrap.packages import ACTIVE, PackageReport
from service.bootstrap.serving import Crew, Serving
from service.domain.errors import DokueiError
from service.domain.event import GoldenTested, StageFailed
from service.ports import Observer

SECONDS_PER_HOUR = 3600.0


class GoldenTests:
    """A thread that tests each child of each crew every so many hours, between two studies."""

    def __init__(self, serving: Serving, *, hours: float, observe: Observer) -> None:
        self._serving, self._hours, self._observe = serving, hours, observe
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin; the first test is made `hours` from now, because a package is tested when it is loaded."""
        if self._hours:
            threading.Thread(target=self._run, name="golden-tests", daemon=True).start()

    def stop(self) -> None:
        """End, without waiting for a test that is going on."""
        self._stopping.set()

    def run_once(self) -> None:
        """Test all children, and take out of service what does not reproduce its golden outputs."""
        for crew in self._serving.crews():
            self._test(crew)

    def _run(self) -> None:
        while not self._stopping.wait(self._hours * SECONDS_PER_HOUR):
            self.run_once()

    def _test(self, crew: Crew) -> None:
        found: dict[str, list[PackageReport]] = {}
        for answer in crew.pool.call_each({"task": "golden"}):
            if isinstance(answer, DokueiError):
                self._failed(answer)
                continue
            for key, report in REPORTS.validate_python(answer["packages"]).items():
                found.setdefault(key, []).append(report)
        for key, reports in found.items():
            self._settle(crew, key, reports)

    def _failed(self, error: DokueiError) -> None:
        """Tell of a child that gave no answer; the one that replaces it is tested when it loads the packages."""
        if not self._stopping.is_set():
            name = type(error).__name__
            self._observe(StageFailed(stage="golden", study_key="", pipeline="", error=name, retryable=True))

    def _settle(self, crew: Crew, key: str, reports: list[PackageReport]) -> None:
        package = crew.packages[key].identity
        error = next((report.error for report in reports if report.error), "")
        if error and crew.role == ACTIVE:
            self._serving.take_out(
                package,
                f"package {package.name} {package.version} is out of service, because it no longer reproduces its "
                f"golden results: {error}; have the machine checked, then `dokuei reload`",
            )
        self._observe(
            GoldenTested(
                package=package.name,
                version=package.version,
                result="failed" if error else "passed",
                difference=max(report.golden_difference for report in reports),
                seconds=sum(report.seconds for report in reports),
                error=error,
            )
        )
