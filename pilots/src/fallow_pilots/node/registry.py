"""Asks an OCI registry whether a repository holds an image, as `apptainer push … oras://…` stores it: one blob, the SIF.

A blob is named by its digest, so the answer needs no trust in whoever submitted the job: only those who may push to
the repository can have put it there. See the OCI distribution specification, "Checking if content exists".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import requests

from fallow.errors import NotAvailableError, RefusedError
from fallow_pilots.node.imagerequests import NO_SUCH_IMAGE

SCHEME = "oras://"
TIMEOUT_S = (10.0, 30.0)
MOST = 20
"""Repositories that are asked for one image."""

_REPOSITORY = re.compile(r"oras://[a-z0-9][a-z0-9.-]*(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+", re.ASCII)
_THERE = {200, 302, 303, 307, 308}


class NotThereError(RefusedError):
    """An image is not where its job says, so that the job would go round the pilots for ever."""

    exit_code = NO_SUCH_IMAGE


class Registries:
    """The registries that a policy names.

    Args:
        prefixes: Beginnings of the repositories that count, `oras://host/…`.
        ca_file: Certificate authority of registries that no public one signed.
    """

    def __init__(self, prefixes: Sequence[str], ca_file: Path | None) -> None:
        self._prefixes = prefixes
        self._verify: bool | str = str(ca_file) if ca_file else True

    def require(self, digest: str, sources: Iterable[str]) -> str:
        """The first of `sources` that counts and holds the image of `digest` (64 hexadecimal digits).

        Raises:
            NotThereError: None does.
            NotAvailableError: A registry does not answer, so nobody knows.
        """
        counting = [source for source in dict.fromkeys(sources) if self.counts(source)][:MOST]
        for source in counting:
            if self._holds(source, digest):
                return source
        asked = f"asked: {', '.join(counting)}" if counting else "the job names none of them"
        raise NotThereError(
            f"The image sha256:{digest} lies in no registry that the policy allows ({asked}).",
            remedy="Push it there, and name the repository in the job's image source.",
        )

    def counts(self, source: str) -> bool:
        """Whether `source` names a repository below a prefix."""
        return _REPOSITORY.fullmatch(source) is not None and any(
            source.startswith(prefix) if prefix.endswith("/") else f"{source}/".startswith(f"{prefix}/")
            for prefix in self._prefixes
        )

    def _holds(self, source: str, digest: str) -> bool:
        host, _, path = source[len(SCHEME) :].partition("/")
        url = f"https://{host}/v2/{path}/blobs/sha256:{digest}"
        try:
            answer = self._head(url, {})
            if answer.status_code == requests.codes.unauthorized:
                token = self._token(answer.headers.get("WWW-Authenticate", ""), path)
                answer = self._head(url, {"Authorization": f"Bearer {token}"})
        except (requests.RequestException, ValueError, KeyError) as error:
            raise NotAvailableError(
                f"The registry {host} does not answer ({type(error).__name__}).", retryable=True
            ) from None
        if answer.status_code in _THERE:
            return True
        if answer.status_code in {401, 403, 404}:
            return False
        raise NotAvailableError(f"The registry {host} answered {answer.status_code}.", retryable=True)

    def _head(self, url: str, headers: Mapping[str, str]) -> requests.Response:
        return requests.head(
            url,
            headers=dict(headers),
            timeout=TIMEOUT_S,
            allow_redirects=False,
            verify=self._verify,
        )

    def _token(self, challenge: str, path: str) -> str:
        """A token to read `path` with, as anybody gets it; a registry that gives none holds nothing for us."""
        asked = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        realm = asked.get("realm", "")
        if urlsplit(realm).scheme != "https":
            return ""
        answer = requests.get(
            realm,
            params={"service": asked.get("service", ""), "scope": f"repository:{path}:pull"},
            timeout=TIMEOUT_S,
            allow_redirects=False,
            verify=self._verify,
        )
        given = answer.json() if answer.ok else {}
        return str(given.get("token") or given.get("access_token") or "")
