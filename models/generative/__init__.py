# SPDX-License-Identifier: Apache-2.0
"""Networks that draw images: trained adversarially, and compared with what they were to imitate."""
