# SPDX-License-Identifier: Apache-2.0
"""The workbench: phantoms, networks, training recipes and export; nothing here runs in the node."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # see service.inference
