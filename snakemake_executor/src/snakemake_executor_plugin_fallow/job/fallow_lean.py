"""Loads Snakemake for a job without two parts that a job never uses, a third of the time that loading takes.

* Records of finished outputs: only the workflow's own Snakemake writes and reads them, and they drag in SQLModel and
  SQLAlchemy. Snakemake's record is made of stand-ins, which are gone again when it is loaded: a rule that uses these
  libraries has the real ones.
* Reports.

Where a release of Snakemake cannot be loaded so, it is loaded whole. Only the standard library may be used: the file
travels with each job.
"""

import importlib.abc
import importlib.machinery
import sys
import types
from contextlib import suppress
from typing import Any

_RECORDS = ("sqlmodel", "sqlalchemy")
"""What makes the records; all of it below these names."""
_LATER = ("smart_open", "snakemake.executors.local")
"""What Snakemake loads when the workflow's own code is being run."""
_finders: "list[Any]" = []


class Record:
    """Stands for a record's base class: made and never used."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Take what the real one takes."""

    def __init__(self, *values: Any, **named: Any) -> None:
        """Take what the real one takes."""


class _StandIn(types.ModuleType):
    """A module and package that has whatever is asked of it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (Record,), {})


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds stand-ins, before anybody finds the real modules."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:  # noqa: ARG002 - the protocol
        """What to load for a module of that name, or None."""
        if name.partition(".")[0] not in _RECORDS:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: Any) -> types.ModuleType:
        """An empty stand-in."""
        return _StandIn(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """There is nothing to run."""


def quicken() -> None:
    """Take modules from the image's file of all of them, where it has one, until `slow_down`."""
    with suppress(Exception):  # there is none, or it is damaged
        if not _finders:
            _finders.append(importlib.import_module("fallow_modules").Finder())
            sys.meta_path.insert(0, _finders[0])


def slow_down() -> None:
    """Look for modules where everybody does: a workflow may have some of its own by the same names."""
    if _finders:
        for name in _LATER:
            with suppress(ImportError):
                importlib.import_module(name)
        sys.meta_path.remove(_finders.pop())


def load() -> Any:
    """Snakemake's command line, `snakemake.cli`."""
    quicken()
    if not any(name in sys.modules for name in ("snakemake.persistence", *_RECORDS)):
        try:
            _load_records()
        except Exception:  # noqa: BLE001 - of a release that we do not know
            _forget("snakemake")
    try:
        reports = importlib.import_module("snakemake_interface_report_plugins.registry").ReportPluginRegistry
        reports.collect_plugins = _collect_none
    except (ImportError, AttributeError):
        pass
    return importlib.import_module("snakemake.cli")


def _load_records() -> None:
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        files = importlib.import_module("snakemake.persistence.file")
        database: Any = importlib.import_module("snakemake.persistence.db")
        database.DbPersistence = _in_files(files.FilePersistence)
    finally:
        sys.meta_path.remove(finder)
        for name in _RECORDS:
            _forget(name)


def _in_files(persistence: Any) -> Any:
    """What keeps a job's records where a workflow's profile has them in a database, which no job needs."""
    return lambda db_url=None, **settings: persistence(**settings)  # noqa: ARG005 - the database


def _forget(package: str) -> None:
    """Have it loaded anew by whoever asks next."""
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]


def _collect_none(registry: Any) -> None:
    registry.plugins = {}
