# SPDX-License-Identifier: Apache-2.0
"""`dokuei held`: what must not leave, why, and for whom; never a patient unless it is asked."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.bootstrap.desk import open_desk
from service.cli.app import app
from service.domain.entry import NewJob
from service.domain.instance import Instance
from service.domain.result import Priority
from service.ports import ResultObject
from service.ports.ledger import Wanted
from service.settings import load_settings
from service.storage import create_database, migrate, open_folder

RUN = CliRunner()
STUDY = "1.2.826.0.1.77"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A node's data folder in which one picture is held."""
    path = tmp_path / "config.yaml"
    path.write_text(f"storage: {{folder: '{tmp_path / 'data'}', reserve_bytes: 0}}\n")
    root = open_folder(tmp_path / "data").root
    database = create_database(root)
    migrate(database)
    database.dispose()
    image = Instance(
        sop_instance_uid=f"{STUDY}.1",
        sop_class_uid="1.2",
        study_instance_uid=STUDY,
        series_instance_uid=f"{STUDY}.2",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        path=root / "1.dcm",
        sha256="a",
        size_bytes=1,
    )
    with open_desk(load_settings(path)) as parts, parts.ledger.transaction() as transaction:
        study = transaction.studies.add_instance(image, peer="ct", at=1.0)
        frozen = transaction.studies.freeze(study.id, reason="quiet", task_id=str, at=1.0)
        new = NewJob(
            key="k",
            revision_id=frozen.id,
            study_id=study.id,
            pipeline="mammography",
            package=None,
            priority=Priority.ROUTINE,
            input_sop_instance_uids=(image.sop_instance_uid,),
        )
        job = transaction.jobs.add(new, task_id=str, at=1.0)
        assert job is not None
        item = ResultObject(
            kind="heatmap",
            sop_class_uid="1.7",
            sop_instance_uid="2.25.5",
            path=root / "x",
            problems=("Rows is missing",),
        )
        wanted = {
            "pacs": Wanted(profile="", kinds=frozenset({"heatmap"})),
            "ward": Wanted(profile="", kinds=frozenset()),
        }
        transaction.jobs.hold(job.id, (item,), destinations=wanted, at=2.0)
    return path


def held(*arguments: object) -> tuple[int, str]:
    result = RUN.invoke(app, ["held", *map(str, arguments)])
    return result.exit_code, result.output


def test_what_is_held_is_told_with_its_reason_and_without_identity(config: Path) -> None:
    status, text = held(config)
    assert status == 1
    for word in ("heatmap", "mammography", "for pacs:", "Rows is missing"):
        assert word in text
    assert STUDY not in text
    assert "2.25.5" not in text
    assert STUDY in held(config, "--identity")[1]
    (row,) = json.loads(held(config, "--json")[1])
    assert (row["kind"], row["destinations"], row["problems"]) == ("heatmap", ["pacs"], ["Rows is missing"])
    assert not {"study_instance_uid", "sop_instance_uid", "path"} & set(row)


def test_status_needs_a_person_until_it_is_forgotten(config: Path) -> None:
    status = RUN.invoke(app, ["status", str(config)])
    assert status.exit_code == 1
    assert "HELD: 1" in status.output
    assert held(config, "--forget")[0] == 0
    assert held(config) == (0, "nothing is held\n")
    assert RUN.invoke(app, ["status", str(config)]).exit_code == 0
