# SPDX-License-Identifier: Apache-2.0
"""Every profusion x shape x zone as a drawn film: what the sheet says of it, beside what was drawn."""
