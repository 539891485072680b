# SPDX-License-Identifier: Apache-2.0
"""Model packages and the child process that runs them; the only room that knows ONNX Runtime."""
