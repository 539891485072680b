# SPDX-License-Identifier: Apache-2.0
"""Every graph of the committed packages has the network that the benchmark of graphs sets beside it."""

import pytest

pytest.importorskip("torch", reason="needs the optional extra `train`")

from service.inference.package import default_packages_folder, find_packages
from service.inference.package_files import read_package
from tests.benchmarks.eager import COMMITTED


def test_no_graph_of_a_committed_package_is_without_its_network() -> None:
    manifests = [read_package(folder).manifest for folder in find_packages(default_packages_folder())]
    graphs = {(manifest.name, graph) for manifest in manifests for graph in manifest.graphs}
    assert graphs == COMMITTED.keys()
