# SPDX-License-Identifier: Apache-2.0
"""Days of a node's life in seconds: the real workflow and ledger, with time, engine and archive played by the test."""
