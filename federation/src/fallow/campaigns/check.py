"""`fallow campaign check`: what an injection would send, and what the hub says to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fallow.campaigns.plan import filled

if TYPE_CHECKING:
    from pathlib import Path

    from fallow.campaigns.plan import Prepared
    from fallow.hub import HubClient


SAMPLED = 20
"""Rows of a stage whose inputs are looked for."""


def report(prepared: Prepared, hub: HubClient | None, ca_file: Path | None = None) -> dict[str, Any]:
    """Rows, a sample of each stage, what is missing, and which offers could take it.

    Args:
        prepared: The campaign.
        hub: Asked for images, inputs and offers; None to ask nobody.
        ca_file: Who vouches for the storage's certificate.
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
        "remarks": [*_images(prepared, hub), *_inputs(prepared, hub, ca_file)] if hub is not None else [],
        "offers": _offers(prepared, hub) if hub is not None else [],
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


def _inputs(prepared: Prepared, hub: HubClient, ca_file: Path | None) -> list[str]:
    """What is missing of the inputs of the first rows; those of later stages are still to be made."""
    from fallow.campaigns.outputs import key_of
    from fallow.storage.transfer import has_object

    wanted = [
        file.url
        for stage, rows in zip(prepared.plan.stages, prepared.rows)
        if stage.after is None and stage.inputs
        for row in rows[:SAMPLED]
        for file in filled(stage, row).inputs
    ]
    if not wanted:
        return []
    access = hub.storage()
    return [
        f"There is no input {url}."
        for url in dict.fromkeys(wanted)
        if not has_object(access, key_of(access, url), ca_file=ca_file)
    ]


def _offers(prepared: Prepared, hub: HubClient) -> list[dict[str, Any]]:
    """What each centre's present offer says to a row of each stage."""
    from fallow.fits import FitRequest

    plan = prepared.plan
    requests = [
        FitRequest(
            **stage.model_dump(
                include={"cores", "memory_mb", "disk_mb", "walltime_s", "gpus", "image", "network"}
            ),
            **plan.model_dump(include={"work_type", "project", "centre", "image_source"}),
        )
        for stage in plan.stages
    ]
    found: list[dict[str, Any]] = []
    for stage, answer in zip(plan.stages, hub.fit(requests)):
        said = [(verdict.centre, verdict.fits, verdict.words) for verdict in answer.verdicts]
        found += [
            {"stage": stage.name, "centre": centre, "fits": fits, "words": words}
            for centre, fits, words in said or [("", answer.fits, answer.summary)]
        ]
    return found
