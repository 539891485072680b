# SPDX-License-Identifier: Apache-2.0
"""Training recipes: each makes one model package from phantoms, with fixed seeds."""
