# SPDX-License-Identifier: Apache-2.0
"""A node that feeds itself studies and prints each acknowledged SOP Instance UID, to be killed at any moment."""

import itertools
import sys
import time
from pathlib import Path

from fakes import ct_dataset, incoming
from node import Node
from service.ports import StoreOutcome


def main(root: Path, life: int, url: str) -> None:
    node = Node(root, database_url=url or None)
    node.flow.start()
    for study in itertools.count(1000 * (life + 1)):
        for number in (1, 2):
            dataset = ct_dataset(study, number)
            if node.receive(incoming(dataset)) in {StoreOutcome.STORED, StoreOutcome.DUPLICATE}:
                sys.stdout.write(f"{dataset.SOPInstanceUID}\n")
                sys.stdout.flush()
        time.sleep(0.05)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
