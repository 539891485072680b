# SPDX-License-Identifier: Apache-2.0
"""Takes studies in and sends results out: C-STORE and C-ECHO both ways, and webhooks."""
