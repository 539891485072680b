# SPDX-License-Identifier: Apache-2.0
"""The way of a study through the node, from the first image to the last delivery."""

from service.workflow.alerts import SecurityAlerts
from service.workflow.audit import AuditTrail
from service.workflow.commit import TakeReport
from service.workflow.context import FlowParts
from service.workflow.flow import Flow
from service.workflow.promise import TakeOrder
from service.workflow.receive import StoreInstance
from service.workflow.ship_audit import AuditShipper

__all__ = [
    "AuditShipper",
    "AuditTrail",
    "Flow",
    "FlowParts",
    "SecurityAlerts",
    "StoreInstance",
    "TakeOrder",
    "TakeReport",
]
