"""What an image's programs are for."""

from __future__ import annotations

from pathlib import Path

import pytest

from fallow.images.architecture import architecture_of, requirement


@pytest.mark.parametrize(
    ("code", "said"), [(b"02", "x86_64"), (b"04", "aarch64"), (b"06", "ppc64le"), (b"00", None), (b"", None)]
)
def test_a_sif_says_what_its_programs_are_for(tmp_path: Path, code: bytes, said: str | None) -> None:
    image = tmp_path / "image.sif"
    image.write_bytes(b"#!/usr/bin/env run-singularity\n\0SIF_MAGIC\0" + b"01\0" + code)
    assert architecture_of(image) == said


def test_a_job_asks_for_the_architecture_of_its_image() -> None:
    import classad2

    asked = classad2.ExprTree(requirement("aarch64"))
    answers = {
        arch: asked.eval(classad2.ClassAd(), classad2.ClassAd({"Arch": arch}))
        for arch in ("aarch64", "X86_64")
    }
    assert answers == {"aarch64": True, "X86_64": False}
