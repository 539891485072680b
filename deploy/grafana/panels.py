# SPDX-License-Identifier: Apache-2.0
"""What the dashboard shows, row by row; board.py draws it."""

from dataclasses import dataclass

NODE = 'instance=~"$instance"'
ONE = f"{{{NODE}}}"
RATE = "[$__rate_interval]"


@dataclass(frozen=True)
class Shown:
    """A panel: what it asks, as pairs of expression and legend, and how it is drawn ("lines", "heatmap", "stat")."""

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    what: str = ""
    kind: str = "lines"
    width: int = 8


def rate(metric: str, *by: str, where: str = "") -> str:
    """Return the sum of rates by labels."""
    return f"sum by ({', '.join(by)}) (rate({metric}{{{NODE}{where}}}{RATE}))"


def quantiles(metric: str, *by: str) -> tuple[tuple[str, str], ...]:
    """Return the median and the 95th and 99th percentile of a histogram."""
    buckets = f"sum by ({', '.join((*by, 'le'))}) (rate({metric}_bucket{ONE}{RATE}))"
    names = " ".join(f"{{{{{label}}}}}" for label in by)
    return tuple((f"histogram_quantile({share}, {buckets})", f"p{share * 100:g} {names}".strip()) for share in SHARES)


MODEL, POSITIVE = ("model", "version"), "dokuei_model_positive_total"
SHARES = (0.5, 0.95, 0.99)
LATE = f'sum(rate(dokuei_study_turnaround_seconds_bucket{{{NODE}, le=~"300|300[.]0"}}{RATE}))'
ALL = f"sum(rate(dokuei_study_turnaround_seconds_count{ONE}{RATE}))"

BOARD_ROWS: dict[str, tuple[Shown, ...]] = {
    "Intake": (
        Shown("Instances a second", ((rate("dokuei_instances_received_total", "peer"), "{{peer}}"),)),
        Shown(
            "Instances by answer",
            ((rate("dokuei_instances_received_total", "status"), "{{status}}"),),
            what="Everything but stored, duplicate and conflict was refused.",
        ),
        Shown("Bytes a second", ((rate("dokuei_received_bytes_total", "peer"), "{{peer}}"),), "Bps"),
        Shown("From C-STORE to its response", quantiles("dokuei_store_duration_seconds"), "s"),
        Shown("Open associations", ((f"dokuei_associations_active{ONE}", "{{peer}}"),)),
        Shown(
            "Objects not let in", ((rate("dokuei_admission_refused_total", "peer", "reason"), "{{peer}} {{reason}}"),)
        ),
    ),
    "Queue": (
        Shown("What waits", ((f"dokuei_pending{ONE}", "{{stage}}"),)),
        Shown(
            "Age of the oldest",
            ((f"time() - dokuei_oldest_pending_received_timestamp_seconds{ONE}", "{{stage}}"),),
            "s",
            "It grows when everything stands still; DokueiStuck pages at 15 minutes.",
        ),
        Shown("Bytes of unfinished studies", ((f"dokuei_spool_bytes{ONE}", "{{instance}}"),), "bytes"),
        Shown(
            "Failures and retries",
            (
                (rate("dokuei_stage_failures_total", "stage", "error"), "{{stage}} {{error}}"),
                (rate("dokuei_retries_total", "stage"), "again: {{stage}}"),
            ),
        ),
        Shown("Members that share the ledger", ((f"dokuei_members{ONE}", "{{role}}"),), what="Absent for one process."),
        Shown("Studies closed", ((rate("dokuei_studies_closed_total", "reason"), "{{reason}}"),)),
        Shown(
            "Kept aside",
            (
                (f"dokuei_quarantine_size{ONE}", "quarantine"),
                (f"dokuei_held_objects{ONE}", "held"),
                (f"dokuei_failed_jobs{ONE}", "failed jobs"),
            ),
        ),
    ),
    "Turnaround": (
        Shown("Within 300 s", ((f"{LATE} / {ALL}", "share"),), "percentunit", "The service level is 99 %.", "stat", 4),
        Shown("Arrival to result", quantiles("dokuei_study_turnaround_seconds", "pipeline"), "s", width=10),
        Shown(
            "Arrival to result, all studies",
            ((f"sum by (le) (increase(dokuei_study_turnaround_seconds_bucket{ONE}{RATE}))", "{{le}}"),),
            "s",
            kind="heatmap",
            width=10,
        ),
        Shown(
            "95th percentile of each stage", (quantiles("dokuei_stage_duration_seconds", "stage")[1],), "s", width=12
        ),
        Shown(
            "Results", ((rate("dokuei_results_total", "pipeline", "outcome"), "{{pipeline}} {{outcome}}"),), width=12
        ),
    ),
    "Models": (
        Shown("One run of a graph", (quantiles("dokuei_inference_duration_seconds", "model", "device")[1],), "s"),
        Shown(
            "Share at or above the operating point",
            (
                (
                    f"{rate(POSITIVE, *MODEL)} / {rate('dokuei_model_score_count', *MODEL)}",
                    "{{model}} {{version}}",
                ),
            ),
            "percentunit",
        ),
        Shown(
            "Scores",
            ((f"sum by (le) (increase(dokuei_model_score_bucket{ONE}{RATE}))", "{{le}}"),),
            kind="heatmap",
        ),
        Shown(
            "Drift of scores (PSI)",
            (
                (f"dokuei_score_psi{ONE}", "{{model}} {{version}}"),
                (f"dokuei_drift_alarm{ONE}", "alarm: {{model}} {{kind}}"),
            ),
        ),
        Shown(
            "Not analysed", ((rate("dokuei_analysis_refused_total", "pipeline", "reason"), "{{pipeline}} {{reason}}"),)
        ),
        Shown(
            "Shadows that differ",
            ((rate("dokuei_shadow_runs_total", "model", "version", "result"), "{{model}} {{version}} {{result}}"),),
        ),
        Shown(
            "Where packages run",
            ((f"dokuei_model_provider{ONE}", "{{model}} {{version}} {{provider}}"),),
            what="0: asked for and not used.",
        ),
        Shown(
            "Age of the last golden test",
            ((f"time() - dokuei_golden_last_success_timestamp_seconds{ONE}", "{{model}} {{version}}"),),
            "s",
        ),
        Shown("Priorities raised", ((rate("dokuei_priority_raised_total", "pipeline"), "{{pipeline}}"),)),
    ),
    "Delivery": (
        Shown("What waits for a destination", ((f"dokuei_delivery_pending{ONE}", "{{destination}}"),)),
        Shown("Result object to destination", quantiles("dokuei_delivery_lag_seconds", "destination"), "s"),
        Shown("Circuit", ((f"dokuei_circuit_state{ONE}", "{{destination}}"),), what="0 tried, 1 probed, 2 away."),
        Shown("Answers", ((rate("dokuei_delivery_total", "destination", "status"), "{{destination}} {{status}}"),)),
        Shown("Refused for good", ((f"dokuei_delivery_refused{ONE}", "{{destination}}"),)),
        Shown(
            "Storage commitment",
            (
                (f"dokuei_commitment_pending{ONE}", "pending: {{destination}}"),
                (rate("dokuei_commitment_total", "destination", "result"), "{{destination}} {{result}}"),
            ),
        ),
    ),
    "Resources": (
        Shown(
            "Free space",
            ((f"dokuei_storage_free_bytes{ONE}", "free"), (f"dokuei_storage_reserve_bytes{ONE}", "reserve")),
            "bytes",
            "Below the reserve nothing is taken in.",
        ),
        Shown(
            "Memory",
            (
                (f"dokuei_process_resident_memory_bytes{ONE}", "parent"),
                (f"dokuei_worker_resident_bytes{ONE}", "children: {{role}}"),
            ),
            "bytes",
        ),
        Shown("Processor of the parent", ((f"rate(dokuei_process_cpu_seconds_total{ONE}{RATE})", "cores"),)),
        Shown(
            "Child processes",
            (
                (f"dokuei_workers{ONE}", "{{role}} {{state}}"),
                (rate("dokuei_worker_restarts_total", "reason"), "restarts: {{reason}}"),
            ),
        ),
        Shown(
            "GPU",
            (
                (f"dokuei_gpu_utilization_ratio{ONE}", "load {{gpu}}"),
                (f"dokuei_gpu_memory_used_bytes{ONE} / dokuei_gpu_memory_total_bytes{ONE}", "memory {{gpu}}"),
            ),
            "percentunit",
        ),
        Shown(
            "Clock",
            (
                (f"dokuei_clock_offset_seconds{ONE}", "offset"),
                (f"dokuei_clock_max_error_seconds{ONE}", "largest error"),
            ),
            "s",
        ),
    ),
    "Security": (
        Shown("Callers refused", ((rate("dokuei_association_rejected_total", "reason"), "{{reason}}"),)),
        Shown(
            "Connections dropped, handshakes failed",
            (
                (rate("dokuei_pdu_refused_total", "reason"), "{{reason}}"),
                (rate("dokuei_tls_handshakes_total", "result", where=', result!="ok"'), "TLS: {{result}}"),
            ),
        ),
        Shown(
            "Certificates end in",
            ((f"dokuei_certificate_expiry_timestamp_seconds{ONE} - time()", "{{certificate}}"),),
            "s",
        ),
        Shown(
            "Audit messages",
            (
                (f"dokuei_audit_pending{ONE}", "waiting"),
                (f"increase(dokuei_audit_dropped_total{ONE}{RATE})", "lost"),
                (f"dokuei_audit_collector_up{ONE}", "collector there"),
            ),
        ),
        Shown("Quarantine", ((rate("dokuei_quarantined_total", "reason"), "{{reason}}"),)),
        Shown(
            "Alerts that fire",
            (('count by (alertname) (ALERTS{alertname=~"Dokuei.+", alertstate="firing"})', "{{alertname}}"),),
        ),
    ),
}
