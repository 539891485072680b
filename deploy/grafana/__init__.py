# SPDX-License-Identifier: Apache-2.0
"""The Grafana dashboard as code, and how Grafana finds it."""
