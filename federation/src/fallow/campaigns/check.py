"""`fallow campaign check`: what an injection would send, and what the hub says to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fallow.campaigns.plan import filled

if TYPE_CHECKING:
    from fallow.campaigns.plan import Prepared
    from fallow.hub import HubClient


def report(prepared: Prepared, hub: HubClient | None) -> dict[str, Any]:
    """Rows, a sample of each stage, and remarks.

    Args:
        prepared: The campaign.
        hub: Asked whether it has the images; None to ask nobody.
    """
    sample = []
    for stage, rows in zip(prepared.plan.stages, prepared.rows):
        one = filled(stage, rows[0])
        sample.append(
            {
                "stage": stage.name,
                "id": rows[0].id,
                "command": one.command,
                "environment": one.environment,
                "inputs": [file.url for file in one.inputs],
                "outputs": [file.url for file in one.outputs],
            }
        )
    return {
        "campaign": prepared.plan.name,
        "rows": sum(len(rows) for rows in prepared.rows),
        "sample": sample,
        "remarks": _images(prepared, hub) if hub is not None else [],
    }


def _images(prepared: Prepared, hub: HubClient) -> list[str]:
    remarks = []
    for digest in sorted({stage.image for stage in prepared.plan.stages}):
        if digest in prepared.images:
            remarks.append(
                f"The image {prepared.images[digest]} ({digest[:19]}…) will be sent if the hub has it not."
            )
        elif hub.image_url(digest) is None:
            remarks.append(f"The hub has no image {digest}.")
    return remarks
