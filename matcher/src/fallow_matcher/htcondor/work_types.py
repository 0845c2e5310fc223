"""What the schedd takes now, in a file of its own: the work types of the rules in force, and nothing without room."""

from __future__ import annotations

from pathlib import Path

from fallow.rules import Rules
from fallow_matcher.room import REFUSAL
from fallow_matcher.settings import HubSettings

NAME = "WorkType"
"""Of the transform and the submit requirement in the file; `policy` puts them in order with the others."""


def file_of(settings: HubSettings) -> Path:
    """The file, read by HTCondor."""
    return settings.state_dir / "work_types.config"


def render(rules: Rules, *, room: bool = True) -> str:
    """The file's text: a job without a work type gets the default one, and one with another is refused.

    Args:
        rules: The rules in force.
        room: Whether there is room for new work; all of it is refused where there is none.
    """
    known = " || ".join(f'FallowWorkType =?= "{name}"' for name in rules.work_types)
    default = rules.default_work_type
    reason = f"FallowWorkType is one of {', '.join(rules.work_types)}." if room else REFUSAL
    return f"""\
# Written from the rules in force; read by HTCondor.
JOB_TRANSFORM_{NAME} @=end
  EVALSET FallowWorkType isUndefined(FallowWorkType) ? "{default}" : FallowWorkType
@end
SUBMIT_REQUIREMENT_{NAME} = {f"({known})" if room else "false"}
SUBMIT_REQUIREMENT_{NAME}_REASON = "{reason}"
"""
