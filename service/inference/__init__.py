# SPDX-License-Identifier: Apache-2.0
"""Model packages and the child process that runs them; the only room that knows ONNX Runtime."""

import os

# From 1.32 on, ONNX Runtime's Linux wheels send what they run to their maker, unless this is set before they are loaded
# (disable_telemetry_events() comes too late: strace shows the look-up all the same). A node for patients calls nobody.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
