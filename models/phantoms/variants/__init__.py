# SPDX-License-Identifier: Apache-2.0
"""Awkward studies as data: what is changed in a plain phantom study, and what the node must do with it."""
