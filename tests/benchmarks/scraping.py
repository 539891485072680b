# SPDX-License-Identifier: Apache-2.0
"""What a scrape of a big hospital's node costs: 20 peers and 10 packages, with whom everything has happened."""

import http.client
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.busy_metrics import populated
from service.observability.health import Health
from service.observability.http import HttpServer
from service.settings import HttpSettings
from tests.benchmarks.bench import Bench
from tests.benchmarks.measure import Measurement, alone

PEERS, MODELS, SCRAPES = 20, 10, 40
ACCEPTS = {"as text": "text/plain", "as OpenMetrics": "application/openmetrics-text; version=1.0.0"}


def measure_scraping(bench: Bench) -> Iterator[Measurement]:
    """Measure milliseconds of a request to /metrics, over HTTP and compressed, as Prometheus asks for it."""
    metrics = populated(bench.disk, peers=PEERS, models=MODELS)
    settings = HttpSettings.model_construct(host="127.0.0.1", port=0)
    server = HttpServer(settings, health=Health(), registry=metrics.registry)
    server.start()
    try:
        for name, accept in ACCEPTS.items():
            what = f"scrape of {PEERS} peers and {MODELS} packages {name}"
            times, processor = zip(*[_scrape(server.port, accept) for _ in range(SCRAPES + 1)][1:], strict=True)
            yield alone(what, "ms", list(times))
            yield alone(f"{what}, processor", "ms", list(processor))
    finally:
        server.stop()
    bench.advance("scrape")


def _scrape(port: int, accept: str) -> tuple[float, float]:
    """Return milliseconds on the clock and of the processor, those of the client among them."""
    headers = {"Accept": accept, "Accept-Encoding": "gzip"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    started, begun = time.perf_counter(), time.process_time()
    connection.request("GET", "/metrics", headers=headers)
    connection.getresponse().read()
    taken = 1000 * (time.perf_counter() - started), 1000 * (time.process_time() - begun)
    connection.close()
    return taken
