"""The rules that the centres of a federation agree on: one TOML document, its meaning, its digest, its history."""

from fallow.rules.document import DEFAULT, canonical, default_text, digest_of, parse_rules
from fallow.rules.model import CPU, Published, Quorum, ResourceClass, Rules, WorkType

__all__ = [
    "CPU",
    "DEFAULT",
    "Published",
    "Quorum",
    "ResourceClass",
    "Rules",
    "WorkType",
    "canonical",
    "default_text",
    "digest_of",
    "parse_rules",
]
