"""What a pilot found on its node: a JSON document that it leaves beside its outcome and that `--check` prints."""

import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Optional, Union

from pydantic import AwareDatetime, ValidationError

from fallow.errors import FallowError
from fallow.files import read_private, write_private
from fallow.offers import CAPABILITY, MOST_CAPABILITIES
from fallow.settings import Settings

log = logging.getLogger(__name__)

Attributes = Mapping[str, Union[bool, int, float, str]]


class NodeFinding(Settings):
    """One check."""

    check: str
    """What was looked at."""
    good: bool
    """Whether all is well."""
    fatal: bool
    """Whether payloads may not run here if it is not."""
    words: str
    """What was found, and what to do where it is not well."""


class NodeCheck(Settings):
    """All checks of one node."""

    pilot: str
    """The pilot that looked."""
    node: str
    """The node's host name."""
    checked: AwareDatetime
    """When, by the node's clock."""
    fit: bool
    """Whether payloads may run here."""
    findings: tuple[NodeFinding, ...]
    """What was found, one thing after the other."""
    attributes: dict[str, Union[bool, int, float, str]]
    """What the slot advertises of it."""

    @property
    def words(self) -> "list[str]":
        """The node's capabilities as the words of an offer's shape."""
        return words_of(self.attributes)


def words_of(attributes: Attributes) -> "list[str]":
    """The words for what a slot advertises, as far as they are such; see `fallow.offers.Shape.capabilities`."""
    found = []
    if attributes.get("FallowHasFuse") is True:
        found.append("fuse")
    if attributes.get("FallowProcessor"):
        found.append(str(attributes["FallowProcessor"]))
    listed = str(attributes.get("FallowCvmfs", ""))
    found += [f"cvmfs-{repository}"[:64] for repository in listed.split(",") if repository]
    return sorted(word for word in found if re.fullmatch(CAPABILITY, word))


def node_file(outcome_file: Path) -> Path:
    """Where the document of the pilot lies that leaves its outcome at `outcome_file`."""
    return outcome_file.with_name("node.json")


def write_node_check(path: Path, found: NodeCheck) -> None:
    """Leave the document, whole or not at all."""
    write_private(path, found.model_dump_json(indent=1) + "\n")


def read_node_check(path: Path) -> Optional[NodeCheck]:
    """The document, or None; one that makes no sense counts as none."""
    try:
        text = read_private(path)
        return None if text is None else NodeCheck.model_validate_json(text)
    except (FallowError, ValidationError) as error:
        log.warning("%s cannot be used: %s", path, type(error).__name__)
        return None


def common_words(checks: Iterable[NodeCheck]) -> "list[str]":
    """The capabilities that every one of these nodes has."""
    sets = [set(check.words) for check in checks if check.fit]
    return sorted(set.intersection(*sets))[:MOST_CAPABILITIES] if sets else []
