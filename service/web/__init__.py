# SPDX-License-Identifier: Apache-2.0
"""The status page: what the node does with each study, read-only, rendered here, in English and Japanese."""
