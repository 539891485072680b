# SPDX-License-Identifier: Apache-2.0
"""Procedural chest radiographs: anatomy, bones, what lies inside the lungs, exposure and display."""
