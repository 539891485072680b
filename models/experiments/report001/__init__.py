# SPDX-License-Identifier: Apache-2.0
"""The pneumoconiosis experiment of report 001, with the checks that its numbers need before they may be believed."""
