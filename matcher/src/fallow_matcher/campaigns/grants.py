"""What a job may do with S3 for a while: exactly its own inputs and outputs, while it is on its way."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select

from fallow.campaigns.messages import Plan, PlanStage, RowState, Stored
from fallow.campaigns.template import columns
from fallow.errors import RefusedError
from fallow.storage.failures import StagingError, Trouble
from fallow.storage.grants import Grant, Made, Signed, StagedFile, StagingRequest
from fallow_matcher.campaigns.actions import ACTIVE
from fallow_matcher.campaigns.staging import (
    ATTEMPT,
    SHA256,
    attempt_of,
    own_key,
    place_of,
    require_size,
    stage_of,
    user_of,
)
from fallow_matcher.campaigns.tables import CAMPAIGN, ROW
from fallow_matcher.campaigns.tickets import Place
from fallow_matcher.gateway.objects import Objects
from fallow_matcher.gateway.s3 import SHORTEST_S, USER_FOLDER, user_bucket
from fallow_matcher.settings import HubSettings

SLOWEST_BYTES_S = 1_000_000
"""What is slower than this, beyond `limits.staging_s`, is given up."""
LONGEST_S = 12 * 3600
MOST_NAMED = 50
"""A session policy that names more objects is too long for some stores: then URLs are signed."""
MOST_GATHERED = 2000


def find(connection: Connection, place: Place) -> tuple[Any, Any]:
    """The campaign and the row of an attempt that is on its way.

    Raises:
        RefusedError: It is over, or there is none.
    """
    number, row_number, attempt = place
    row = connection.execute(
        select(ROW).where(ROW.c.id == row_number, ROW.c.campaign == number, ROW.c.attempt == attempt)
    ).one_or_none()
    campaign = connection.execute(select(CAMPAIGN).where(CAMPAIGN.c.id == number)).one_or_none()
    if row is None or campaign is None or row.state not in {state.value for state in ACTIVE}:
        raise RefusedError("This attempt of the row is over.")
    return campaign, row


def gathered(connection: Connection, campaign: Any, row: Any) -> list[Stored]:
    """What the rows of the stage before have stored of what a row gathers, in their order, under the names of here.

    Raises:
        StagingError: It is too much for one job.
    """
    plan = Plan.model_validate_json(campaign.plan)
    numbers = {stage.name: number for number, stage in enumerate(plan.stages)}
    found: list[Stored] = []
    for one in plan.stages[row.stage].gather:
        query = (
            select(ROW.c.outputs)
            .where(ROW.c.campaign == campaign.id, ROW.c.stage == numbers[one.stage])
            .where(ROW.c.state == RowState.DONE.value)
            .order_by(ROW.c.id)
            .limit(MOST_GATHERED + 1)
        )
        for number, outputs in enumerate(connection.scalars(query), 1):
            stored = [Stored.model_validate(each) for each in json.loads(outputs)]
            found += [
                each.model_copy(update={"path": f"{number:06}-{each.path}"})
                for each in stored
                if each.path == one.path
            ]
    if len(found) > MOST_GATHERED:
        raise StagingError(Trouble.LARGE, f"More than {MOST_GATHERED} files would be gathered for one job.")
    return found


def grant(
    settings: HubSettings,
    objects: Objects,
    campaign: Any,
    row: Any,
    wanted: StagingRequest,
    gather: Sequence[Stored] = (),
) -> Grant:
    """Access for one job.

    Args:
        settings: The hub's settings.
        objects: The users' objects.
        campaign: The job's campaign.
        row: Its row.
        wanted: What it asks for.
        gather: What it gathers.

    Raises:
        StagingError: It is not to be had, in one of the classes.
        NotAvailableError: The store does not answer.
    """
    plan, user = Plan.model_validate_json(campaign.plan), user_of(campaign)
    stage = stage_of(plan, row)
    writes = wanted.outputs is not None
    if wanted.outputs is None:
        files = _inputs(settings, objects, user, stage, plan.stages[row.stage])
        files += [_from(settings, user, one) for one in gather]
    else:
        files = _outputs(settings, user, stage, wanted.outputs, attempt_of(place_of(campaign, row)))
    total = sum(file.bytes for file in files)
    require_size(settings, stage, total)
    patience_s = settings.limits.staging_s + total / SLOWEST_BYTES_S
    life_s = int(min(LONGEST_S, max(SHORTEST_S, settings.lives.storage_s)))
    answer = Grant(
        endpoint=settings.storage.endpoint,
        region=settings.storage.region,
        files=files,
        patience_s=patience_s,
    )
    if not files:
        return answer
    if settings.storage.jobs == "signed-urls" or len(files) > MOST_NAMED:
        signed = [
            _signed(objects, user, file, writes, int(min(LONGEST_S, patience_s + 60))) for file in files
        ]
        return answer.model_copy(update={"files": signed})
    names = [file.key.removeprefix(USER_FOLDER) for file in files]
    keys = objects.keys(user, *(([], names) if writes else (names, [])), life_s)
    return answer.model_copy(update={"keys": keys})


def _inputs(
    settings: HubSettings, objects: Objects, user: str, stage: PlanStage, template: PlanStage
) -> list[StagedFile]:
    bucket, files = user_bucket(settings.storage.bucket, user), []
    for one, plain in zip(stage.inputs, template.inputs, strict=True):
        key = own_key(settings, user, one.url)
        found = objects.wanted(user, key, one.url)
        files.append(
            StagedFile(
                path=one.path,
                url=one.url,
                bucket=bucket,
                key=USER_FOLDER + key,
                bytes=found.bytes,
                etag=found.etag,
                sha256=found.metadata.get(SHA256, ""),
                shared=not columns(plain.url),
            )
        )
    return files


def _from(settings: HubSettings, user: str, one: Stored) -> StagedFile:
    """An output of another row as an input; its digest is known."""
    return StagedFile(
        **one.model_dump(),
        bucket=user_bucket(settings.storage.bucket, user),
        key=USER_FOLDER + own_key(settings, user, one.url),
    )


def _outputs(
    settings: HubSettings, user: str, stage: PlanStage, made: list[Made], attempt: str
) -> list[StagedFile]:
    there = {one.path: one for one in made}
    bucket, files = user_bucket(settings.storage.bucket, user), []
    for one in stage.outputs:
        if one.path not in there:
            raise StagingError(Trouble.MISSING, f"The job has made no {one.path}.")
        about = there[one.path]
        files.append(
            StagedFile(
                path=one.path,
                url=one.url,
                bucket=bucket,
                key=USER_FOLDER + own_key(settings, user, one.url),
                bytes=about.bytes,
                sha256=about.sha256,
                metadata={SHA256: about.sha256, ATTEMPT: attempt},
            )
        )
    return files


def _signed(objects: Objects, user: str, file: StagedFile, writes: bool, life_s: int) -> StagedFile:
    key = file.key.removeprefix(USER_FOLDER)
    if writes:
        signed: Signed = objects.to_write(user, key, file.bytes, file.sha256, file.metadata, life_s)
    else:
        signed = objects.to_read(user, key, life_s)
    return file.model_copy(update={"signed": signed})
