# SPDX-License-Identifier: Apache-2.0
"""What a child says of its packages: at its start, and when it is asked for their golden outputs again."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.packages import NAME, PIPELINE, VERSION, copy_package
from service.bootstrap.child import Child
from service.bootstrap.messages import REPORTS
from service.bootstrap.packages import PackageChoice, PackageReport
from service.domain.errors import PackageError
from service.inference.package import default_packages_folder
from service.inference.package_files import read_package

FOLDER = default_packages_folder() / NAME / VERSION


def choice(folder: Path = FOLDER, **changes: Any) -> PackageChoice:
    return PackageChoice(**{"folder": folder, "provider": ("cpu",), "threads": 1, **changes})


def golden(child: Child) -> PackageReport:
    return REPORTS.validate_python(child({"task": "golden"})["packages"])[PIPELINE]


@pytest.fixture(scope="module")
def child() -> Child:
    return Child({PIPELINE: choice(sha256=read_package(FOLDER).identity.sha256)})


def test_it_reports_what_runs_each_package_and_how_close_it_comes(child: Child) -> None:
    report = REPORTS.validate_python(child.report()["packages"])[PIPELINE]
    assert (report.error, report.device, report.passed_over) == ("", "cpu", ())
    assert 0 <= report.golden_difference < 0.01
    assert report.seconds > 0


def test_golden_outputs_that_are_not_reproduced_any_more_are_reported(child: Child) -> None:
    assert golden(child).error == ""
    package = child._loaded[PIPELINE]
    sound = package._golden
    spoilt = {name: _off_by_one(data) for name, data in sound.contents.items()}
    package._golden = replace(sound, contents=spoilt)  # as seen from a machine that computes something else by now
    assert "differ from the golden ones by" in golden(child).error
    package._golden = sound
    assert golden(child).error == ""


def test_a_folder_that_holds_another_package_than_the_node_read_is_rejected(tmp_path: Path) -> None:
    folder = copy_package(tmp_path, VERSION, threshold=0.9)
    child = Child({PIPELINE: choice(folder, sha256=read_package(FOLDER).identity.sha256)})
    (report,) = REPORTS.validate_python(child.report()["packages"]).values()
    assert "holds another package" in report.error
    assert "dokuei reload" in report.error
    with pytest.raises(PackageError, match="holds another package"):
        child._package(PIPELINE)


def test_a_provider_that_is_absent_is_reported(tmp_path: Path) -> None:
    child = Child({PIPELINE: choice(provider=("tensorrt", "cpu"))})
    (report,) = REPORTS.validate_python(child.report()["packages"]).values()
    if not report.passed_over:
        pytest.skip("this machine has TensorRT")
    assert (report.device, report.passed_over[0].provider) == ("cpu", "tensorrt")


def _off_by_one(data: bytes) -> bytes:
    import io

    with np.load(io.BytesIO(data)) as arrays:
        wrong = {name: arrays[name] + 1 if name.startswith("output") else arrays[name] for name in arrays.files}
    stream = io.BytesIO()
    np.savez(stream, **wrong)
    return stream.getvalue()
