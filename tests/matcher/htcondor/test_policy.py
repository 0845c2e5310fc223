"""What of a job is nobody's to say."""

from __future__ import annotations

import pytest

from fallow_matcher.htcondor import policy


@pytest.mark.parametrize("name", policy.MEASURED)
def test_what_the_ledger_believes_is_removed_at_submission_and_protected_afterwards(name: str) -> None:
    assert f"DELETE {name}" in policy.named_transforms()["Fallow"]
    (protected,) = [line for line in policy.render().splitlines() if line.startswith("PROTECTED_JOB_ATTRS")]
    assert name in protected.split()
