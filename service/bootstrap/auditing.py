# SPDX-License-Identifier: Apache-2.0
"""The audit trail of a node: its reporter, the alerts that observe it, and the thread that ships to the collector."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from service.audit import Reporter
from service.audit.xml import Source
from service.ports import Ledger, Observer
from service.settings import Settings
from service.transport.syslog_tls import SyslogTls
from service.workflow.alerts import SecurityAlerts
from service.workflow.audit import AuditTrail
from service.workflow.ship_audit import AuditShipper

LAST_SECONDS = 5.0
"""How long the end of the node waits for its last audit messages to be taken."""


def audit_trail(settings: Settings) -> AuditTrail:
    """Return the audit trail that the configuration asks for; a silent one when it asks for none."""
    chosen = settings.audit
    if chosen is None:
        return AuditTrail()
    title = settings.node.ae_title
    source = Source(id=chosen.source_id or title, enterprise_site_id=chosen.enterprise_site_id)
    reporter = Reporter(process_id=str(os.getpid()), ae_title=title, host=socket.getfqdn(), source=source)
    return AuditTrail(settings, reporter)


@contextmanager
def auditing(
    settings: Settings,
    trail: AuditTrail,
    ledger: Ledger,
    *,
    alerts: SecurityAlerts,
    observer: Observer,
    leads: Callable[[], bool] = lambda: True,
) -> Iterator[None]:
    """Write the start, ship while the block runs, write the end; does nothing without an audit trail.

    Of several members, the one that leads ships for all.
    """
    if settings.audit is None:
        yield
        return
    collector = SyslogTls(settings.audit, host=socket.getfqdn(), observer=observer)
    shipper = AuditShipper(
        trail, ledger, collector, observer=observer, max_pending=settings.audit.max_pending, now=_now, leads=leads
    )
    with ExitStack() as parts:
        _note(trail, ledger, started=True)
        alerts.start(trail, ledger, now=_now)
        shipper.start()
        parts.callback(shipper.stop, LAST_SECONDS)
        parts.callback(_note, trail, ledger, started=False)
        parts.callback(alerts.stop)
        yield


def _note(trail: AuditTrail, ledger: Ledger, *, started: bool) -> None:
    with ledger.transaction() as transaction:
        trail.activity(transaction, started=started, at=_now())


def _now() -> float:
    return datetime.now(UTC).timestamp()
