# SPDX-License-Identifier: Apache-2.0
"""Graphs that say where a score comes from, with every gradient written out, so that ONNX can hold them."""
