"""The schema's versions, applied by the product itself (Alembic)."""

from __future__ import annotations

import logging
from importlib.resources import files
from typing import TYPE_CHECKING

import sqlalchemy
from sqlalchemy import Connection, Engine

from fallow.errors import NotAvailableError

if TYPE_CHECKING:
    from alembic.config import Config

_LOCK = 0x46_61_6C_6C_6F_77  # "Fallow"; a number that only we lock


def upgrade(engine: Engine) -> None:
    """Bring the database to the newest version; nothing is written where it has it already.

    Raises:
        NotAvailableError: The database was made by a newer Fallow.
    """
    logging.getLogger("alembic").setLevel(
        logging.WARNING
    )  # it tells its own plugins, already as it is imported
    from alembic import command
    from alembic.script import ScriptDirectory

    settings = _settings()
    scripts = ScriptDirectory.from_config(settings)
    newest = scripts.get_current_head()
    with engine.connect().execution_options(fallow_reads=True) as connection:
        if _version(connection) == newest:
            return
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        found = _version(connection)
        known = {revision.revision for revision in scripts.walk_revisions()}
        if found is not None and found not in known:
            raise NotAvailableError(
                f"The database has schema {found!r}, which this release does not know (its newest is {newest!r}).",
                remedy="Install the release of Fallow that wrote it, or a newer one.",
            )
        if found != newest:
            settings.attributes["connection"] = connection
            command.upgrade(settings, "head")


def revision_of(engine: Engine) -> str | None:
    """The version of a database's schema; None where it has none yet."""
    with engine.connect().execution_options(fallow_reads=True) as connection:
        return _version(connection)


def revisions() -> list[str]:
    """Every version of the schema that this release knows, the newest first."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(_settings())
    return [script.revision for script in scripts.walk_revisions()]


def _version(connection: Connection) -> str | None:
    from alembic.runtime.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def _settings() -> Config:
    from alembic.config import Config

    settings = Config()
    settings.set_main_option("script_location", str(files(__package__).joinpath("migrations")))
    return settings
