# SPDX-License-Identifier: Apache-2.0
"""Quasi-linear clustering: one family that holds k-means, fuzzy c-means and Gaussian mixtures, and what it is used for.

For research on unlabelled images and for choosing what to annotate; it diagnoses nothing.
"""
