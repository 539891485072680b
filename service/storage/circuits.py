# SPDX-License-Identifier: Apache-2.0
"""Which destinations are reachable, in the ledger."""

from collections.abc import Collection
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from service.domain.entry import CircuitRecord, CircuitState
from service.storage import schema

CLOSED = CircuitState.CLOSED
OFF = ""
"""State of a circuit whose destination left config.yaml."""


class SqlCircuits:
    """The circuits of one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def get(self, destination: str) -> CircuitRecord:
        """Return a destination's circuit; a closed one when it never failed."""
        return self._read(_query(destination)) or CircuitRecord(id=0, destination=destination)

    def lock(self, destination: str) -> CircuitRecord:
        """Return it, and keep others from changing it until the transaction ends."""
        return self._read(_query(destination).with_for_update()) or self._made(destination)

    def save(self, circuit: CircuitRecord) -> None:
        """Keep the circuit as it is now."""
        values = {name: value for name, value in asdict(circuit).items() if name != "id"}
        self._connection.execute(sa.update(schema.circuit).where(schema.circuit.c.id == circuit.id).values(values))

    def follow(self, destinations: Collection[str]) -> None:
        """Make a circuit for each destination that has none, and switch those of others off."""
        circuit = schema.circuit
        strange = circuit.c.destination.not_in(list(destinations))
        values = {"state": OFF, "failures": 0, "probes": 0, "failed_job_id": 0, "task_id": ""}
        # Rows stay: the names of their tasks follow from `attempt`, and must not be used twice.
        self._connection.execute(sa.update(circuit).where(strange).values(values))
        self._connection.execute(sa.update(circuit).where(~strange, circuit.c.state == OFF).values(state=CLOSED))
        for name in destinations:
            self.lock(name)

    def _made(self, destination: str) -> CircuitRecord:
        values = {"destination": destination, "state": CircuitState.CLOSED, "due_at": 0.0}
        self._connection.execute(sa.insert(schema.circuit).values(values))
        return self.get(destination)

    def _read(self, query: sa.Select[Any]) -> CircuitRecord | None:
        row = self._connection.execute(query).mappings().first()
        return CircuitRecord(**{**row, "state": CircuitState(row["state"] or CLOSED)}) if row else None


def _query(destination: str) -> sa.Select[Any]:
    return sa.select(schema.circuit).where(schema.circuit.c.destination == destination)
