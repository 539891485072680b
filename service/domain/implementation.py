# SPDX-License-Identifier: Apache-2.0
"""How Dokuei names itself in File Meta Information and in association requests (PS3.7 D.3.3.2)."""

from service import __version__

IMPLEMENTATION_CLASS_UID = "2.25.251167129885726811989159473032110158622"
IMPLEMENTATION_VERSION_NAME = f"DOKUEI_{__version__}"[:16]
