# SPDX-License-Identifier: Apache-2.0
"""Structured Reports: TID 1500, text, CAD, and the selections of key objects."""
