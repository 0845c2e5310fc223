"""Settings files: TOML in, one frozen pydantic model out, every problem named with its place."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ConfigDict, ValidationError

from fallow.documented import Documented
from fallow.errors import SettingsError

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover - old login nodes
    import tomli as tomllib

T = TypeVar("T", bound="Settings")


class Settings(Documented):
    """Base of every settings model: immutable, refuses unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def load(model: type[T], path: Path) -> T:
    """Read and validate one TOML file.

    Args:
        model: The settings model that the file describes.
        path: The file.

    Raises:
        SettingsError: The file is missing, is not UTF-8 TOML, or does not fit the model; the message names every bad field.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise SettingsError(
            f"Cannot read {path}: {error.strerror}.", remedy="Create it or name another file."
        ) from error
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{path} is not valid TOML: {error}.", remedy="Mend the line it names."
        ) from error
    return parse_text(model, text, source=str(path))


def parse_text(model: type[T], text: str, *, source: str) -> T:
    """Validate a TOML text; as `load`, for one that is not in a file."""
    try:
        raw = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(
            f"{source} is not valid TOML: {error}.", remedy="Mend the line it names."
        ) from error
    return parse(model, raw, source=source)


def parse(model: type[T], raw: dict[str, Any], *, source: str) -> T:
    """Validate an already decoded table; `source` says in messages where it came from."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        problems = [
            (".".join(str(part) for part in item["loc"]), item["msg"])
            for item in error.errors(include_url=False)
        ]
        listing = "; ".join(f"{place or 'the document'}: {message}" for place, message in problems)
        raise SettingsError(
            f"{source}: {listing}.", remedy="Mend the settings named.", setting=problems[0][0]
        ) from error
