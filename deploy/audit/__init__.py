# SPDX-License-Identifier: Apache-2.0
"""The gate on known vulnerabilities: pip-audit over the lock files, against advisories that lie in this folder."""
