# SPDX-License-Identifier: Apache-2.0
"""Which of several objects that say the same a destination is sent."""

from collections.abc import Callable, Sequence

from service.ports import EncodedObject


def choose_forms(
    objects: Sequence[EncodedObject], is_accepted: Callable[[EncodedObject], bool] = lambda _: True
) -> tuple[list[EncodedObject], list[EncodedObject]]:
    """Return what is to be sent, and what the destination does not accept, each in the order given.

    Of the objects of a slot the one of lowest rank among those that are accepted is sent; those of higher rank are in
    neither list.
    """
    best: dict[str, EncodedObject] = {}
    for item in sorted((item for item in objects if item.slot), key=lambda item: item.rank):
        if item.slot not in best and is_accepted(item):
            best[item.slot] = item
    chosen = [item for item in objects if (best.get(item.slot) is item if item.slot else is_accepted(item))]
    declined = [item for item in objects if not is_accepted(item) and _comes_before(item, best.get(item.slot))]
    return chosen, declined


def _comes_before(item: EncodedObject, best: EncodedObject | None) -> bool:
    return not item.slot or best is None or item.rank < best.rank
