# SPDX-License-Identifier: Apache-2.0
"""A site's own images and labels, and public sets, brought to one form; nothing here touches a network."""
