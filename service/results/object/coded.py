# SPDX-License-Identifier: Apache-2.0
"""Our codes as highdicom's, where its content classes are used."""

import highdicom as hd

from service.codes import Code
from service.results.words.statements import meaning


def concept(value: Code) -> hd.sr.CodedConcept:
    """Return our code as highdicom's."""
    return hd.sr.CodedConcept(value=value.value, scheme_designator=value.scheme, meaning=meaning(value))
