# SPDX-License-Identifier: Apache-2.0
"""The tables of the conformance statement, made from the code that they are about."""
