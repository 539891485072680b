# SPDX-License-Identifier: Apache-2.0
"""Shows a graph noise in place of its golden image: a package that declares distances must find it unlike anything."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.domain.errors import PackageError
from service.domain.reliability import Limit
from service.inference.golden import GOLDEN_SECONDS, golden_arrays
from service.inference.manifest import Tensor
from service.inference.package_files import PackageFiles
from service.inference.session import Session

_SEED: Final = 20260
_MASK: Final = "mask"


def verify_noise_is_refused(files: PackageFiles, sessions: Mapping[str, Session]) -> None:
    """Run each graph that has limits of distribution on noise shaped like its first golden input.

    Raises
    ------
    PackageError
        An item of the noise is above no limit of its graph.
    """
    limits = files.manifest.out_of_distribution
    for graph in dict.fromkeys(limit.graph for limit in limits):
        golden = next(entry for entry in files.manifest.golden if entry.graph == graph)
        where = str(files.folder / golden.file)
        inputs, _ = golden_arrays(files.contents[golden.file], where=where)
        contract = files.manifest.graphs[graph].inputs
        noise = {name: noise_like(array, contract[name]) for name, array in inputs.items()}
        outputs = sessions[graph].run(noise, limit_seconds=GOLDEN_SECONDS)
        _check([limit for limit in limits if limit.graph == graph], outputs, where=where)


def noise_like(array: NDArray[Any], contract: Tensor) -> NDArray[Any]:
    """Return uniform noise over the contract's range of values, else over the array's own.

    A channel (axis 1) whose name ends in "mask" stays: noise in it would be no image with strange content but none.
    """
    if array.dtype.kind != "f" or array.size == 0:
        return array
    low, high = contract.value_range or (float(array.min()), float(array.max()))
    noise = np.random.default_rng(_SEED).uniform(low, high, size=array.shape).astype(array.dtype)
    for channel, name in enumerate(contract.channels):
        if name.endswith(_MASK):
            noise[:, channel] = array[:, channel]
    return noise


def _check(limits: list[Limit], outputs: Mapping[str, NDArray[Any]], *, where: str) -> None:
    above = np.any([outputs[limit.output] > limit.threshold for limit in limits], axis=0)
    if above.size and above.all():
        return
    shown = ", ".join(f"{limit.output} {outputs[limit.output].min():.3g} of {limit.threshold:.3g}" for limit in limits)
    raise PackageError(
        f"{where}: with noise in place of its image the graph stays within the limits of out_of_distribution "
        f"({shown}); a distance that takes noise for usual refuses nothing: fit it to features of the trained network"
    )
