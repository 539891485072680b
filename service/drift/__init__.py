# SPDX-License-Identifier: Apache-2.0
"""Says whether a stream of studies is still like its reference: pure functions, without clock, disk or chance."""
