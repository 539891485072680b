# SPDX-License-Identifier: Apache-2.0
"""Every metric that events move, once: names and labels are an interface that dashboards and alerts rely on."""

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.registry import CollectorRegistry

from service.observability.labels import Bounded

NAMESPACE = "dokuei"
STORE_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
STAGE_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
TURNAROUND_BUCKETS = (1, 2, 5, 10, 20, 30, 60, 90, 120, 180, 300, 600, 1200, 3600)
"""300 s is the service level: a threshold must be the edge of a bucket."""
DIFFERENCE_BUCKETS = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1)
SCORE_BUCKETS = tuple(number / 20 for number in range(1, 21))
"""Scores lie in [0, 1]; bins of equal width, those of the packages' reference histograms."""
LAG_BUCKETS = (1, 5, 15, 30, 60, 120, 300, 900, 3600, 14_400, 86_400)


class Families:
    """The metric families of one registry.

    Label values come from config.yaml or from closed sets: never a UID, a name, a path or the text of an exception.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._declare_receiving()
        self._declare_storage()
        self._declare_stages()
        self._declare_analysis()
        self._declare_delivery()
        self._declare_node()
        self._declare_models()
        self._declare_security()

    def _declare_receiving(self) -> None:
        self.associations = self._counter("associations", "Associations that peers asked for.", "peer", "result")
        self.association_rejected = self._counter("association_rejected", "Associations refused.", "reason")
        self.pdu_refused = self._counter(
            "pdu_refused", "Connections dropped: the peer passed a limit or broke the protocol.", "reason"
        )
        self.instances_received = self._counter(
            "instances_received", "C-STORE requests answered.", "peer", "modality", "status"
        )
        self.received_bytes = self._counter("received_bytes", "Bytes of data sets received.", "peer")
        self.store_duration = Histogram(
            "store_duration_seconds",
            "From a C-STORE request to its response.",
            namespace=NAMESPACE,
            registry=self._registry,
            buckets=STORE_BUCKETS,
        )
        self.duplicates = self._counter(
            "duplicates", "Instances received again, identical to the first or in conflict with it.", "kind"
        )

        self._declare_admission()

    def _declare_admission(self) -> None:
        self.admission_refused = self._counter(
            "admission_refused", "Objects not let in, by what is wrong with them.", "peer", "reason"
        )
        self.quarantined = self._counter(
            "quarantined", "Objects, and studies that killed their worker, kept aside for a person.", "reason"
        )
        self.quarantine_dropped = self._counter(
            "quarantine_dropped", "What the quarantine gave up because it passed a limit.", "reason"
        )

    def _declare_storage(self) -> None:
        self.deleted_files = self._counter("deleted_files", "Files deleted because nobody needs them any more.", "what")
        self.deleted_bytes = self._counter("deleted_bytes", "Bytes of the files that were deleted.", "what")
        self.storage_orphans = Counter(
            "storage_orphans",
            "Files that no row of the ledger named, put into the folder 'unclaimed' at a start.",
            namespace=NAMESPACE,
            registry=self._registry,
        )
        self.storage_missing = Gauge(
            "storage_missing_files",
            "Files that the ledger names and that were not there at the last start.",
            namespace=NAMESPACE,
            registry=self._registry,
        )

    def _declare_stages(self) -> None:
        self.studies_closed = self._counter("studies_closed", "Revisions of studies closed.", "reason")
        self.studies_unmatched = Counter(
            "studies_unmatched",
            "Studies that no rule sent to a pipeline.",
            namespace=NAMESPACE,
            registry=self._registry,
        )
        self.stage_duration = self._histogram(
            "stage_duration_seconds", "Time that a stage took.", STAGE_BUCKETS, "stage"
        )
        self.stage_failures = self._counter("stage_failures", "Stages that failed.", "stage", "error", "retryable")
        self.turnaround = self._histogram(
            "study_turnaround_seconds",
            "From a study's arrival to its result objects.",
            TURNAROUND_BUCKETS,
            "pipeline",
            "priority",
        )
        self.jobs_reconciled = self._counter(
            "jobs_reconciled", "Jobs of the ledger that the engine had lost and was given again.", "stage"
        )

    def _declare_analysis(self) -> None:
        self.analysis_refused = self._counter(
            "analysis_refused", "Reasons for which a pipeline did not analyse a study.", "pipeline", "reason"
        )
        self.inference_duration = self._histogram(
            "inference_duration_seconds",
            "One run of one ONNX graph.",
            STAGE_BUCKETS,
            "model",
            "version",
            "graph",
            "device",
        )
        model = ("model", "version")
        self.inference = self._counter(
            "inference", "Studies that a package has come to an end with.", *model, "outcome"
        )
        self.model_score = self._histogram("model_score", "Triage scores of studies.", SCORE_BUCKETS, *model)
        self.model_positive = self._counter(
            "model_positive", "Studies whose triage score lies at or above the operating point.", *model
        )
        self.results = self._counter("results", "Results made.", "pipeline", "outcome")
        self.priority_raised = self._counter("priority_raised", "Studies raised to urgent.", "pipeline")
        self.objects_held = self._counter(
            "objects_held", "Result objects that failed their checks and were held back.", "kind"
        )

    def _declare_delivery(self) -> None:
        self.delivery = self._counter(
            "delivery", "Answers of destinations to result objects.", "destination", "kind", "status"
        )
        self.superseded = self._counter(
            "results_superseded", "Older result objects that a destination was told to reject.", "destination"
        )
        self.delivery_lag = self._histogram(
            "delivery_lag_seconds", "From a result object to its storage at a destination.", LAG_BUCKETS, "destination"
        )
        self.retries = self._counter("retries", "Steps that did not work and are done again.", "stage")
        self.commitment = self._counter(
            "commitment", "Objects by what a destination said of their storage commitment.", "destination", "result"
        )
        self.commitment_reports = self._counter(
            "commitment_reports", "Reports to peers that asked us for storage commitment.", "peer", "status"
        )
        self.notifications = self._counter("notifications", "Notifications of raised priorities.", "notifier", "status")

    def _declare_node(self) -> None:
        self.worker_restarts = self._counter("worker_restarts", "Child processes started again.", "reason")
        self.build_info = self._gauge("build_info", "The version that runs; always 1.", "version")
        self.config_info = self._gauge("config_info", "The settings in effect; always 1.", "sha256_8")
        self.config_reloads = self._counter("config_reloads", "Times that config.yaml was read again.", "result")
        self.config_reload_successful = Gauge(
            "config_last_reload_successful",
            "1 when the last reload took over all that a reload can (0 before the first).",
            namespace=NAMESPACE,
            registry=self._registry,
        )

    def _declare_models(self) -> None:
        model = ("model", "version")
        self.model_info = self._gauge(
            "model_info", "The model packages: 1, or 0 once replaced.", *model, "sha256_8", "status", "role"
        )
        self.model_loaded = self._gauge(
            "model_load_timestamp_seconds", "When a child process last loaded a package with all checks.", *model
        )
        self.model_provider = self._gauge(
            "model_provider", "1 for what runs a package, 0 for what is asked for and does not.", *model, "provider"
        )
        self.provider_fallbacks = self._counter(
            "provider_fallbacks", "Times that a package was run elsewhere than asked for.", *model, "provider", "reason"
        )
        self.golden_tests = self._counter("golden_tests", "Golden tests of loaded packages.", *model, "result")
        self.golden_difference = self._gauge(
            "golden_difference", "Largest difference from the golden outputs at the last test.", *model
        )
        self.golden_success = self._gauge(
            "golden_last_success_timestamp_seconds", "When a package last reproduced its golden outputs.", *model
        )
        self.golden_study_tests = self._counter(
            "golden_study_tests", "Tests of packages in use by their golden studies.", *model, "result"
        )
        self.golden_study_success = self._gauge(
            "golden_study_last_success_timestamp_seconds", "When a package last passed its golden studies.", *model
        )
        self.shadow_runs = self._counter(
            "shadow_runs", "Studies that a shadow package was run on.", "pipeline", *model, "result"
        )
        self.shadow_difference = self._histogram(
            "shadow_score_difference", "Difference of a shadow's triage score.", DIFFERENCE_BUCKETS, *model
        )
        self.prior_fetches = self._counter(
            "prior_fetches", "Studies that an older one was looked for in the archive.", "pipeline", "outcome"
        )
        self.prior_wait = self._histogram(
            "prior_wait_seconds", "How long a study waited for an older one.", TURNAROUND_BUCKETS, "pipeline"
        )
        self.drift_alarms = self._counter(
            "drift_alarms", "Alarms that studies differ from a package's reference.", "pipeline", "model"
        )

    def _declare_security(self) -> None:
        self.tls_handshakes = self._counter("tls_handshakes", "TLS handshakes of peers.", "result")
        self.viewers_refused = self._counter(
            "viewers_refused", "Sign-ins to the status page that were not let in.", "reason"
        )
        self.certificate_expiry = self._gauge(
            "certificate_expiry_timestamp_seconds", "When a certificate or revocation list ends.", "certificate"
        )
        self.certificate_loads = self._counter(
            "certificate_loads",
            "Certificate files read: loaded, or rejected while the old stay.",
            "certificate",
            "result",
        )
        self.audit_sent = self._plain_counter("audit_sent", "Audit messages that the collector took.")
        self.audit_dropped = self._plain_counter("audit_dropped", "Audit messages lost: too many waited.")
        self.audit_collector_up = Gauge(
            "audit_collector_up",
            "1 while the audit collector takes messages.",
            namespace=NAMESPACE,
            registry=self._registry,
        )

    def _plain_counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, namespace=NAMESPACE, registry=self._registry)

    def _counter(self, name: str, text: str, *labels: str) -> Bounded[Counter]:
        return Bounded(Counter(name, text, labels, namespace=NAMESPACE, registry=self._registry), len(labels))

    def _gauge(self, name: str, text: str, *labels: str) -> Bounded[Gauge]:
        return Bounded(Gauge(name, text, labels, namespace=NAMESPACE, registry=self._registry), len(labels))

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Bounded[Histogram]:
        metric = Histogram(name, text, labels, namespace=NAMESPACE, registry=self._registry, buckets=buckets)
        return Bounded(metric, len(labels))
