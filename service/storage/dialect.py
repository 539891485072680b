# SPDX-License-Identifier: Apache-2.0
"""What SQLite and PostgreSQL do in their own ways: upserts, and statements that are compiled only once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

SQLITE = "sqlite"
Process = Callable[[Any], Any]
Bind = tuple[Process | None, Any]
"""How a value is turned into what the driver takes, and the value where none is given."""
Parameters = Callable[[Mapping[str, Any]], Any]

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
        self._compiled: dict[str, tuple[str, Parameters]] = {}

    def __call__(self, connection: sa.Connection, values: Mapping[str, Any]) -> Sequence[Any]:
        """Execute it and return its rows; types turn values into what the driver takes, as SQLAlchemy does."""
        dialect = connection.dialect
        text, parameters = self._compiled.get(dialect.name) or self._compile(dialect)
        return execute(connection, text, parameters(values))

    def _compile(self, dialect: sa.Dialect) -> tuple[str, Parameters]:
        compiled: Any = self._build(dialect).compile(dialect=dialect)
        binds = {name: (_processor(bind, dialect), bind.value) for name, bind in compiled.binds.items()}
        found = (compiled.string, _parameters(binds, compiled.positiontup))
        self._compiled[dialect.name] = found
        return found


def _parameters(binds: Mapping[str, Bind], positions: Sequence[str] | None) -> Parameters:
    """Return what makes the driver's parameters of values: by position where it wants them so, else by name."""
    if positions is None:
        return lambda values: {name: _bound(values, name, *bind) for name, bind in binds.items()}
    ordered = [(name, *binds[name]) for name in positions]
    return lambda values: tuple([_bound(values, name, process, fixed) for name, process, fixed in ordered])


def _bound(values: Mapping[str, Any], name: str, process: Process | None, fixed: Any) -> Any:
    value = values.get(name, fixed)
    return value if process is None else process(value)


def execute(connection: sa.Connection, text: str, parameters: Any = ()) -> Sequence[Any]:
    """Give a statement to the driver and return its rows; its errors are raised as SQLAlchemy's."""
    driver: Any = connection.connection.dbapi_connection
    try:
        cursor = driver.execute(text, parameters)
        return cursor.fetchall() if cursor.description else ()
    except connection.dialect.loaded_dbapi.Error as error:
        raise _as_database_error(error, connection.dialect, text) from error


def _as_database_error(error: Exception, dialect: sa.Dialect, text: str) -> BaseException:
    errors: Any = dialect.loaded_dbapi.Error
    return DBAPIError.instance(text, None, error, errors, hide_parameters=True, dialect=dialect)


def _processor(bind: sa.BindParameter[Any], dialect: sa.Dialect) -> Process | None:
    return bind.type.dialect_impl(dialect).bind_processor(dialect)
