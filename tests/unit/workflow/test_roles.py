# SPDX-License-Identifier: Apache-2.0
"""Every stage belongs to one role, and no role to none."""

import pytest

from service.domain.member import Role
from service.workflow.stages import (
    ANALYSE,
    CLOSE,
    ENCODE,
    FETCH,
    NOTIFY,
    ROUTE,
    SHADOW,
    circuit_stage,
    commit_stage,
    deliver_stage,
    is_for,
    report_stage,
)

SENDING = [NOTIFY, FETCH, deliver_stage("pacs"), commit_stage("pacs"), circuit_stage("pacs"), report_stage("ct")]
WORKING = [CLOSE, ROUTE, ANALYSE, ENCODE, SHADOW]


@pytest.mark.parametrize("stage", [*SENDING, *WORKING])
def test_each_stage_is_done_by_one_role_and_by_a_node_that_is_alone(stage: str) -> None:
    wanted = {Role.ALL, Role.SENDER if stage in SENDING else Role.WORKER}
    assert {role for role in Role if is_for(role, stage)} == wanted


def test_what_each_role_is_there_for() -> None:
    table = {role: (role.receives, role.analyses, role.sends) for role in Role}
    assert table == {
        Role.ALL: (True, True, True),
        Role.RECEIVER: (True, False, False),
        Role.WORKER: (False, True, False),
        Role.SENDER: (False, False, True),
    }
