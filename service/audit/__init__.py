# SPDX-License-Identifier: Apache-2.0
"""Audit messages: what happened to whose data as XML of PS3.15 A.5, and as syslog of RFC 5424."""

from service.audit.messages import Alert, AlertType, Party, Person, Question, Reporter, StudyPart

__all__ = ["Alert", "AlertType", "Party", "Person", "Question", "Reporter", "StudyPart"]
