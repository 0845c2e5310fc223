"""The rules as a document: TOML in, the model and a digest out."""

import hashlib
import json
from pathlib import Path
from typing import Any

from fallow.errors import SettingsError
from fallow.rules.model import Rules
from fallow.settings import parse_text

DEFAULT = Path(__file__).with_name("default.toml")
"""The rules of a new federation."""

MAX_BYTES = 64 * 1024
"""A longer document is refused before it is read."""


def default_text() -> str:
    """The document of the rules of a new federation."""
    return DEFAULT.read_text(encoding="utf-8")


def read_rules(path: Path) -> str:
    """The document in a file, found to be valid.

    Raises:
        SettingsError: The file cannot be read, or as `parse_rules`.
    """
    try:
        text = path.read_bytes()[: MAX_BYTES + 1].decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"Cannot read {path}: {error}.", remedy="Name a TOML file of rules.") from error
    parse_rules(text, source=str(path))
    return text


def parse_rules(text: str, *, source: str = "the rules") -> Rules:
    """Read and validate a rules document.

    Args:
        text: The TOML document.
        source: Says in messages where it came from.

    Raises:
        SettingsError: It is too long, no TOML, or does not hold together; the message names every bad field.
    """
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise SettingsError(f"{source}: not valid Unicode: {error}.", remedy="Mend the character.") from error
    if size > MAX_BYTES:
        raise SettingsError(f"{source}: {size} bytes are more than {MAX_BYTES}.", remedy="Shorten it.")
    return parse_text(Rules, text, source=source)


def canonical(rules: Rules) -> str:
    """The one text of these rules, as the JSON Canonicalization Scheme (RFC 8785) has it.

    Spelling, order, comments and a number's form (`2`, `2.0`) leave no trace; a list that means a set is sorted. A field
    that is None is left out, so that a field which a later release adds does not change what was approved before it.
    """
    raw = rules.model_dump(mode="json", exclude_none=True)
    for each in raw["resource_classes"].values():
        each["gpu_models"] = sorted(model.lower() for model in each["gpu_models"])
    if "publish" in raw:
        raw["publish"] = sorted(set(raw["publish"]))
    return json.dumps(_plain(raw), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest_of(text: str) -> str:
    """The digest by which centres approve these rules: the same for two documents if and only if they mean the same.

    Raises:
        SettingsError: As `parse_rules`.
    """
    return "sha256:" + hashlib.sha256(canonical(parse_rules(text)).encode("utf-8")).hexdigest()


def _plain(value: Any) -> Any:
    """Whole numbers without a point, as RFC 8785 wants them; the model's bounds keep exponents away."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
