# SPDX-License-Identifier: Apache-2.0
"""Lets every package that serves run its golden studies, beside the work; one that comes to something else is out.

Golden tensors are tested when a package is loaded, because that takes a moment. Golden studies take seconds to minutes:
they run when the children are warm, after a start as after a reload, and then every so many hours.
"""

import threading
import time
from collections.abc import Callable, Iterator

from service.bootstrap.crews import IDLE_PATIENCE
from service.bootstrap.packages import ACTIVE, PackageChoice
from service.bootstrap.serving import Crew, Serving
from service.bootstrap.study_child import Limits, StudyRunner
from service.domain.errors import DokueiError, PackageError
from service.domain.event import GoldenStudiesTested
from service.domain.result import PackageIdentity
from service.inference.providers import uses_gpu
from service.ports import Observer
from service.settings import InferenceSettings

LOOK_SECONDS = 5.0
SECONDS_PER_HOUR = 3600.0


class StudyTests:
    """A thread that tests one package after the other, each in a child process of its own.

    Parameters
    ----------
    inference
        Returns the settings as they are by now; a reload may change them.
    """

    def __init__(
        self,
        serving: Serving,
        inference: Callable[[], InferenceSettings],
        *,
        observe: Observer,
        run: StudyRunner | None = None,
    ) -> None:
        self._serving, self._inference, self._observe = serving, inference, observe
        self._run = run or StudyRunner()
        self._tested_at: dict[tuple[Crew, str], float] = {}
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin to look for packages whose test is due."""
        threading.Thread(target=self._watch, name="golden-studies", daemon=True).start()

    def stop(self) -> None:
        """End, and a test that is going on too."""
        self._stopping.set()
        self._run.kill()

    def run_due(self) -> None:
        """Test every package that serves in warm children and was not tested in them, or not for hours."""
        crews = self._serving.at_work()
        self._tested_at = {key: at for key, at in self._tested_at.items() if key[0] in crews}
        for crew in crews:
            for key, choice in self._due(crew):
                if self._stopping.is_set():
                    return
                self._tested_at[crew, key] = time.monotonic()
                self._test(crew, crew.packages[key].identity, choice)

    def _watch(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            if self._inference().self_test_studies:
                self.run_due()

    def _due(self, crew: Crew) -> Iterator[tuple[str, PackageChoice]]:
        """Yield what is to be tested; nothing competes with children that still load."""
        if not crew.pool.ready:
            return
        every = self._inference().self_test_hours * SECONDS_PER_HOUR
        for key, choice in crew.choices.items():
            tested_at = self._tested_at.get((crew, key))
            if tested_at is None or (every and time.monotonic() - tested_at >= every):
                yield key, choice

    def _test(self, crew: Crew, package: PackageIdentity, choice: PackageChoice) -> None:
        started = time.monotonic()
        result, studies, problem = "passed", 0, ""
        try:
            studies = len(self._run(choice, self._limits()))
        except PackageError as error:
            result, problem = "failed", str(error)
        except DokueiError as error:
            result, problem = "unfinished", str(error)
        if result == "failed" and crew.role == ACTIVE:
            self._serving.take_out(
                package,
                f"package {package.name} {package.version} is out of service, because its golden studies come to "
                f"something else here: {problem}; have the installation checked, then `dokuei reload`",
            )
        if not self._stopping.is_set() and (studies or problem):
            seconds = time.monotonic() - started
            self._tell(package, result=result, studies=studies, seconds=seconds, error=problem)

    def _limits(self) -> Limits:
        inference = self._inference()
        memory = None if uses_gpu(inference.provider) else inference.memory_bytes
        return Limits(seconds=inference.deadline_seconds * IDLE_PATIENCE, memory_bytes=memory)

    def _tell(self, package: PackageIdentity, *, result: str, studies: int, seconds: float, error: str) -> None:
        self._observe(
            GoldenStudiesTested(
                package=package.name,
                version=package.version,
                result=result,
                studies=studies,
                seconds=seconds,
                error=error,
            )
        )
