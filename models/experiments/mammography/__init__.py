# SPDX-License-Identifier: Apache-2.0
"""How well a mammography package marks masses and ranks exams: FROC and ROC with bands, unseen scanners first."""
