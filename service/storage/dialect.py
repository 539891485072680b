# SPDX-License-Identifier: Apache-2.0
"""What SQLite and PostgreSQL do in their own ways: upserts, and statements that are compiled only once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

SQLITE = "sqlite"
INSERTS: dict[str, Any] = {SQLITE: sqlite.insert, "postgresql": postgresql.insert}


def insert(dialect: sa.Dialect, table: sa.Table) -> Any:
    """Return the dialect's own INSERT, which knows ON CONFLICT."""
    return INSERTS[dialect.name](table)


class Prepared:
    """A statement that runs for every received instance: compiled once, and given to the driver's own cursor.

    Through SQLAlchemy each of them takes 0.15 ms, of which SQLite needs 0.02.

    Parameters
    ----------
    build
        Returns the statement for a dialect; its values are `bindparam`s.
    """

    def __init__(self, build: Callable[[sa.Dialect], Any]) -> None:
        self._build = build
        self._compiled: dict[str, Any] = {}

    def __call__(self, connection: sa.Connection, values: Mapping[str, Any]) -> Sequence[Any]:
        """Execute it and return its rows; types turn values into what the driver takes, as SQLAlchemy does."""
        dialect = connection.dialect
        text, names, binds = self._compiled.get(dialect.name) or self._compile(dialect)
        given = {name: process(values.get(name, fixed)) for name, (process, fixed) in binds.items()}
        parameters: Any = given if names is None else tuple(given[name] for name in names)
        return _execute(connection, text, parameters)

    def _compile(self, dialect: sa.Dialect) -> Any:
        compiled: Any = self._build(dialect).compile(dialect=dialect)
        binds = {name: (_processor(bind, dialect), bind.value) for name, bind in compiled.binds.items()}
        found = (compiled.string, compiled.positiontup, binds)
        self._compiled[dialect.name] = found
        return found


def _execute(connection: sa.Connection, text: str, parameters: Any) -> Sequence[Any]:
    errors: Any = connection.dialect.loaded_dbapi.Error
    cursor = connection.connection.cursor()
    try:
        cursor.execute(text, parameters)
        return cursor.fetchall() if cursor.description else ()
    except errors as error:
        raise DBAPIError.instance(
            text, None, error, errors, hide_parameters=True, dialect=connection.dialect
        ) from error
    finally:
        cursor.close()


def _processor(bind: sa.BindParameter[Any], dialect: sa.Dialect) -> Callable[[Any], Any]:
    return bind.type.dialect_impl(dialect).bind_processor(dialect) or _unchanged


def _unchanged(value: Any) -> Any:
    return value
