# SPDX-License-Identifier: Apache-2.0
"""Drives durable work; knows tasks by name and number and nothing of studies."""

from service.engine.dbos_engine import DbosEngine

__all__ = ["DbosEngine"]
