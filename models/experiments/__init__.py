# SPDX-License-Identifier: Apache-2.0
"""Experiments of the source reports, each as one command that measures what its report told."""
