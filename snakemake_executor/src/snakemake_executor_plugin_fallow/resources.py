"""What a Snakemake job asks for, in the queue's terms. Pure.

Amounts are rounded up to few distinct values: jobs that ask for the same are matched together.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fallow.errors import UsageError

DEFAULT_MEMORY_MB = 2048
DEFAULT_DISK_MB = 4096
DEFAULT_WALLTIME_S = 3600
DEFAULTS = ("work_type", "project", "centre", "requirements", "image_source", "network")
"""What the plugin's settings may say for all jobs; the resource `fallow_<name>` of a rule wins."""
_DISK_OF_OURS_MB = 256
"""Room for sources, caches and logs beside a rule's own files."""
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/()+-]{0,79}")
_OPEN = ("TBD", "<TBD>")
"""What Snakemake says of a resource that it does not know yet."""
_YES, _NO = ("true", "yes", "1"), ("false", "no", "0")


@dataclass(frozen=True)
class Request:
    """The request of one job."""

    cores: int
    memory_mb: int
    disk_mb: int
    walltime_s: int
    gpus: int
    work_type: str | None
    project: str | None
    centre: str | None
    requirements: str | None
    """What every slot must fulfil, the wish for a GPU model included."""
    image_source: tuple[str, ...]
    network: bool


def request(
    rule: str, threads: int, resources: Mapping[str, Any], defaults: Mapping[str, str | None]
) -> Request:
    """The request of a job.

    Args:
        rule: Its rule's name, for messages.
        threads: Its threads.
        resources: Its resources as Snakemake evaluated them: `mem_mb`, `disk_mb`, `runtime` (minutes), `gpu`, `gpu_model`,
            and `fallow_` with each of `DEFAULTS`; absent and not yet known ones take defaults.
        defaults: Each of `DEFAULTS` for jobs that name none.

    Raises:
        UsageError: A resource is not a number that makes sense, or not text where text is needed.
    """
    memory_mb = _number(rule, resources, "mem_mb", DEFAULT_MEMORY_MB)
    disk_mb = _number(rule, resources, "disk_mb", DEFAULT_DISK_MB)
    walltime_s = 60 * _number(rule, resources, "runtime", DEFAULT_WALLTIME_S // 60)
    gpus = _number(rule, resources, "gpu", 0, least=0)
    chosen = {name: _text(rule, resources, f"fallow_{name}") or defaults.get(name) for name in DEFAULTS}
    return Request(
        cores=max(1, threads),
        memory_mb=_rounded(memory_mb, 256),
        disk_mb=_rounded(disk_mb + _DISK_OF_OURS_MB, 1024),
        walltime_s=_rounded(walltime_s, 300),
        gpus=gpus,
        work_type=chosen["work_type"],
        project=chosen["project"],
        centre=chosen["centre"],
        requirements=_with_model(rule, gpus, _text(rule, resources, "gpu_model"), chosen["requirements"]),
        image_source=tuple((chosen["image_source"] or "").split()),
        network=_yes(rule, chosen["network"] or "true"),
    )


def _with_model(rule: str, gpus: int, model: str | None, requirements: str | None) -> str | None:
    """What a slot must fulfil so that its GPUs are of a model; a part of the model's name will do."""
    if model is None or model in _OPEN:
        return requirements
    if not gpus:
        raise UsageError(f"Rule {rule}: gpu_model={model!r} without a GPU.", remedy="Ask for gpu=1 as well.")
    if not _MODEL.fullmatch(model):
        raise UsageError(
            f"Rule {rule}: gpu_model={model!r} is no name of a GPU model.", remedy="See: fallow capacity"
        )
    pattern = re.sub(r"[.()+]", r"[\g<0>]", model)
    wish = f'regexp("{pattern}", TARGET.FallowGpuModel, "i")'
    return f"{wish} && ({requirements})" if requirements else wish


def _yes(rule: str, text: str) -> bool:
    if text.lower() not in (*_YES, *_NO):
        raise UsageError(
            f"Rule {rule}: fallow_network={text!r} is neither true nor false.",
            remedy="Mend the rule's resources, or --fallow-network.",
        )
    return text.lower() in _YES


def _rounded(amount: int, step: int) -> int:
    """The next multiple of `step`, or of a sixteenth of the next power of two where that is more."""
    coarse = 1 << max(0, amount.bit_length() - 4)
    step = max(step, coarse)
    return math.ceil(amount / step) * step


def _number(rule: str, resources: Mapping[str, Any], name: str, default: int, *, least: int = 1) -> int:
    value = resources.get(name)
    if value is None or (isinstance(value, str) and value in _OPEN):
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < least or value > 2**40:
        raise UsageError(
            f"Rule {rule}: {name}={value!r} is not a number from {least}.",
            remedy="Mend the rule's resources.",
        )
    return math.ceil(value)


def _text(rule: str, resources: Mapping[str, Any], name: str) -> str | None:
    value = resources.get(name)
    if value is None or value == "" or value in _OPEN:
        return None
    if isinstance(value, (bool, int)) and name == "fallow_network":
        return str(value)
    if not isinstance(value, str):
        raise UsageError(f"Rule {rule}: {name}={value!r} is not text.", remedy="Mend the rule's resources.")
    return value
