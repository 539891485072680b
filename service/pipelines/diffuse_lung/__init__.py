# SPDX-License-Identifier: Apache-2.0
"""Diffuse lung disease on thin-section CT: percent of lung by pattern, side and zone, from a patch classifier."""
