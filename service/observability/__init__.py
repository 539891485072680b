# SPDX-License-Identifier: Apache-2.0
"""Makes the node visible without naming a patient: log lines, metrics, health, and the HTTP port that shows them."""
