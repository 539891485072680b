# SPDX-License-Identifier: Apache-2.0
"""The way of a study through the node, from the first image to the last delivery."""

from service.workflow.context import FlowParts
from service.workflow.flow import Flow
from service.workflow.receive import StoreInstance

__all__ = ["Flow", "FlowParts", "StoreInstance"]
