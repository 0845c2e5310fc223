"""What the hub is told of a campaign: the document with its files in it, and the rows of each stage apart."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Callable, NamedTuple

from fallow.campaigns.document import Document, Stage, Step, Terms
from fallow.campaigns.messages import Plan, PlanStage, SmallFile
from fallow.campaigns.table import Row, Rows, grid_rows, read_table
from fallow.campaigns.template import columns as columns_of
from fallow.campaigns.template import fill
from fallow.errors import SettingsError, UsageError
from fallow.images.architecture import USUAL, Architecture
from fallow.images.architecture import architecture_of as sif_architecture
from fallow.images.names import is_digest, is_tag

FILES_BYTES = 128 * 1024
"""The local files of all stages together; larger ones belong into S3 or the image."""

_EVALUATED = re.compile(r"[$`\\]")


class Prepared(NamedTuple):
    """A campaign that is ready to be injected."""

    plan: Plan
    rows: list[list[Row]]
    """The rows of each stage; stages without rows of their own share one list."""
    images: dict[str, Path]
    """The local images by digest."""


def prepare(
    document: Document,
    base: Path,
    digest_of: Callable[[Path], str],
    resolve: Callable[[str], str] = lambda tag: tag,
    architecture_of: Callable[[str], Architecture] = lambda _: USUAL,
) -> Prepared:
    """Read tables, files and images, and check every row.

    Args:
        document: The campaign.
        base: The directory that paths are relative to.
        digest_of: The digest of a local image.
        resolve: The digest that a tag means now.
        architecture_of: What the programs of an image that the hub has are for.

    Raises:
        UsageError: A table, file or image cannot be used; the message names the first problems.
    """
    stages, rows, images = [], [], {}
    expanded = document.expanded()
    shared: dict[str, Rows] = {}
    left = FILES_BYTES
    for stage in expanded:
        found = _rows(document, stage, expanded, base, shared)
        _require_plain(stage, found)
        image, made_for = stage.image or document.image or "", None
        if is_tag(image):
            image = resolve(image)
        elif not is_digest(image):
            path = base / Path(image).expanduser()
            image = digest_of(path)
            images[image] = path
            made_for = sif_architecture(path)
        files = [_small_file(base / path) for path in stage.files]
        left -= sum(len(file.text) for file in files)
        if left < 0:
            raise UsageError(
                f"The files of the campaign are larger than {FILES_BYTES // 1024} kB together.",
                remedy="Put them into the image or into S3.",
            )
        inner = stage.model_dump(include=set(Step.model_fields))
        about = {"image": image, "architecture": made_for or architecture_of(image)}
        stages.append(PlanStage(**inner, **about, files=files, columns=list(found.columns)))
        rows.append(found.rows)
    _require_same_rows(stages, rows)
    terms = document.model_dump(include=set(Terms.model_fields))
    return Prepared(Plan(**terms, stages=stages), rows, images)


def digest(plan: Plan) -> str:
    """What makes a campaign the same campaign: everything but the rows, as canonical JSON."""
    canonical = json.dumps(plan.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


def values_of(stage: PlanStage, row: Row) -> dict[str, str]:
    """What the templates of a stage are filled with; `id` is the row's id whatever its column is called."""
    return {**dict(zip(stage.columns, row.values)), "id": row.id}


def filled(stage: PlanStage, row: Row) -> PlanStage:
    """The stage as it is for one row."""
    values = values_of(stage, row)
    return stage.model_copy(
        update={
            "command": [fill(word, values) for word in stage.command],
            "environment": {name: fill(text, values) for name, text in stage.environment.items()},
            "inputs": [one.model_copy(update={"url": fill(one.url, values)}) for one in stage.inputs],
            "outputs": [one.model_copy(update={"url": fill(one.url, values)}) for one in stage.outputs],
        }
    )


def _rows(document: Document, stage: Stage, stages: list[Stage], base: Path, shared: dict[str, Rows]) -> Rows:
    own = stage.table is not None or stage.grid is not None
    table, grid = (stage.table, stage.grid) if own else (document.table, document.grid)
    users = [stage] if own else [one for one in stages if one.table is None and one.grid is None]
    needed = {name for one in users for name in one.named()} - {"id"}
    if not own and "" in shared:
        return shared[""]
    if table is not None:
        found = read_table(base / table.file.expanduser(), table.id, needed)
    else:
        found = grid_rows(dict(grid or {}), needed)
    if not own:
        shared[""] = found
    return found


def _require_plain(stage: Stage, rows: Rows) -> None:
    """Refuse what could not stand in a job; only the columns that are used where it matters are looked at."""
    risky = {name for text in stage.environment.values() for name in columns_of(text)}
    places = [place for place, name in enumerate(rows.columns) if name in risky]
    for row in rows.rows:
        for place in places:
            if _EVALUATED.search(row.values[place]):
                raise UsageError(
                    f"Row {row.id!r}: $, ` or \\ in {rows.columns[place]!r} would not survive in the environment.",
                    remedy="Pass such a value as an argument.",
                )
    used = [place for place, name in enumerate(rows.columns) if name in stage.named()]
    for row in rows.rows:
        for place in used:
            if "$$" in row.values[place]:
                raise UsageError(
                    f"Row {row.id!r}: '$$' in {rows.columns[place]!r} would be replaced on the way.",
                    remedy="Put such text into a file.",
                )


def _require_same_rows(stages: list[PlanStage], rows: list[list[Row]]) -> None:
    names: Mapping[str, list[Row]] = {stage.name: found for stage, found in zip(stages, rows)}
    for stage, own in zip(stages, rows):
        if stage.after is None or stage.start != "row" or own is names[stage.after]:
            continue
        odd = {row.id for row in own} - {row.id for row in names[stage.after]}
        if odd:
            raise UsageError(
                f"Stage {stage.name} starts per row, but {len(odd)} of its rows are not in {stage.after}, "
                f"{sorted(odd)[0]!r} for one.",
                remedy="Give both the same ids.",
            )


def _small_file(path: Path) -> SmallFile:
    try:
        return SmallFile(name=path.name, text=path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.", remedy="Name an existing file.") from error
    except (UnicodeDecodeError, ValueError) as error:
        raise SettingsError(
            f"{path} is not a text file with a plain name.", remedy="Put it into the image or into S3."
        ) from error
