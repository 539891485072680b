# SPDX-License-Identifier: Apache-2.0
"""What pydicom raises when a value does not fit its representation; such an attribute counts as absent."""

BAD_VALUE_ERRORS = (ValueError, TypeError, KeyError, AttributeError, OverflowError, NotImplementedError, LookupError)
