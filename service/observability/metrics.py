# SPDX-License-Identifier: Apache-2.0
"""Every metric of the node, once: names and labels are an interface that dashboards and alerts rely on.

Label values come from configuration or from closed sets. Never a UID, a name, a path or the text of an exception.
"""

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.registry import CollectorRegistry

NAMESPACE = "dokuei"
STORE_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
STAGE_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
TURNAROUND_BUCKETS = (1, 2, 5, 10, 20, 30, 60, 90, 120, 180, 300, 600, 1200, 3600)
"""300 s is the service level (operations: 99 % of studies): a threshold must be an edge of a bucket."""
LAG_BUCKETS = (1, 5, 15, 30, 60, 120, 300, 900, 3600, 14_400, 86_400)
MODALITIES = frozenset({"CR", "DX", "MG", "CT", "OT", "SC", "SR"})
OTHER = "other"


def modality_label(modality: str) -> str:
    """Return a modality as a label: what a peer writes there must not be able to make new series."""
    return modality if modality in MODALITIES else OTHER


class Metrics:
    """The metrics that events move; see `counting` for which event moves which."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._declare_receiving()
        self._declare_stages()
        self._declare_analysis()
        self._declare_delivery()
        self._declare_node()

    def _declare_receiving(self) -> None:
        self.associations = self._counter("associations", "Associations that peers asked for.", "peer", "result")
        self.association_rejected = self._counter("association_rejected", "Associations refused.", "reason")
        self.pdu_refused = self._counter(
            "pdu_refused", "Connections dropped because the peer passed a limit or broke the protocol.", "reason"
        )
        self.instances_received = self._counter(
            "instances_received", "C-STORE requests answered.", "peer", "modality", "status"
        )
        self.received_bytes = self._counter("received_bytes", "Bytes of data sets received.", "peer")
        self.store_duration = self._histogram(
            "store_duration_seconds", "From C-STORE request to response.", STORE_BUCKETS
        )
        self.duplicates = self._counter(
            "duplicates", "Instances received again: identical, or conflicting with the first.", "kind"
        )

    def _declare_stages(self) -> None:
        self.studies_closed = self._counter("studies_closed", "Revisions of studies closed.", "reason")
        self.studies_unmatched = self._counter("studies_unmatched", "Studies that no rule sent to a pipeline.")
        self.studies_routed = self._counter("studies_routed", "Studies sent to a pipeline.", "pipeline")
        self.stage_duration = self._histogram(
            "stage_duration_seconds", "Time that a stage took.", STAGE_BUCKETS, "stage"
        )
        self.stage_failures = self._counter("stage_failures", "Stages that failed.", "stage", "retryable")
        self.jobs_reconciled = self._counter(
            "jobs_reconciled", "Jobs in the ledger that the engine had lost and was given again.", "stage"
        )
        self.turnaround = self._histogram(
            "study_turnaround_seconds",
            "From the last instance of a study to its result.",
            TURNAROUND_BUCKETS,
            "pipeline",
            "priority",
        )

    def _declare_analysis(self) -> None:
        self.analysis_refused = self._counter(
            "analysis_refused", "Studies that a pipeline did not analyse.", "pipeline", "reason"
        )
        self.inference_duration = self._histogram(
            "inference_duration_seconds", "One run of one graph.", STAGE_BUCKETS, "model", "version", "graph", "device"
        )
        self.results = self._counter("results", "Results made.", "pipeline", "outcome")
        self.priority_raised = self._counter("priority_raised", "Studies raised to urgent.", "pipeline")
        self.objects_held = self._counter(
            "objects_held", "Result objects held back because they failed their checks.", "kind", "reason"
        )

    def _declare_delivery(self) -> None:
        self.delivery = self._counter(
            "delivery", "Result objects sent to a destination.", "destination", "kind", "status"
        )
        self.delivery_lag = self._histogram(
            "delivery_lag_seconds", "From result to its arrival at a destination.", LAG_BUCKETS, "destination"
        )
        self.delivery_duration = self._histogram(
            "delivery_duration_seconds", "Time that sending an object took.", STORE_BUCKETS, "destination"
        )
        self.notifications = self._counter("notifications", "Notifications of raised priorities.", "notifier", "status")

    def _declare_node(self) -> None:
        self.worker_restarts = self._counter("worker_restarts", "Child processes started again.", "reason")
        self.observer_failures = self._counter("observer_failures", "Events that could not be logged or counted.")
        self.build_info = self._gauge("build_info", "The version that runs.", "version")
        self.model_info = self._gauge("model_info", "Model packages.", "model", "version", "sha256_8", "status")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, namespace=NAMESPACE, registry=self._registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, namespace=NAMESPACE, registry=self._registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, text, labels, namespace=NAMESPACE, registry=self._registry, buckets=buckets)
