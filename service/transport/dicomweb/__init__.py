# SPDX-License-Identifier: Apache-2.0
"""DICOMweb (PS3.18): STOW-RS in, as a port of its own, and STOW-RS out, as a kind of destination."""
