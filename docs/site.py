"""Builds the documentation as a site, with every warning an error and every internal link and anchor checked.

Usage: python docs/site.py [FOLDER]     (build/site unless another is named; FOLDER is made anew)

Files lie in the site as they do in the repository, so that a link leads to the same place in both. The site needs
nothing from elsewhere.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "build" / "site-source"
CONFIG = """
site_name: Fallow
docs_dir: {source}
site_dir: {site}
use_directory_urls: false
theme:
  name: mkdocs
  highlightjs: false
  navigation_depth: 3
plugins: []
validation:
  omitted_files: ignore
  absolute_links: warn
  unrecognized_links: warn
  not_found: warn
  anchors: warn
nav:
{nav}
"""
FOLDERS = ("containers", "docs", "federation", "matcher", "pilots", "snakemake_executor", "tests")
"""What pages lie in, and lead to."""
SHELVES = ("tutorial", "how-to", "reference", "explanation", "explanation/decisions")
_FROM_ELSEWHERE = re.compile(r'<(?:script|link|img)[^>]+(?:src|href)="(?:https?:)?//[^"]*"')


def build(site: Path) -> None:
    """Build the site in a folder.

    Raises:
        SystemExit: Something is wrong; it says what.
    """
    shutil.rmtree(SOURCE, ignore_errors=True)
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, SOURCE / folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for path in (*ROOT.glob("*.md"), ROOT / "LICENSE"):
        shutil.copyfile(path, SOURCE / path.name)
    config = SOURCE.with_suffix(".yml")
    config.write_text(CONFIG.format(source=SOURCE, site=site, nav=navigation()), encoding="utf-8")
    argv = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(config)]
    done = subprocess.run(argv, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit("\n".join(line for line in done.stdout.splitlines() if not line.startswith("INFO")))
    for page in site.rglob("*.html"):
        if found := _FROM_ELSEWHERE.search(page.read_text(encoding="utf-8")):
            sys.exit(f"{page} needs something from elsewhere: {found[0]}")


def navigation() -> str:
    """The shelves of the documentation, and the pages of the parts."""
    lines = ["  - Fallow: README.md"]
    for shelf in SHELVES:
        lines.append(f"  - {shelf.rpartition('/')[2].capitalize()}:")
        lines += [
            f"    - docs/{shelf}/{page.name}" for page in sorted((SOURCE / "docs" / shelf).glob("*.md"))
        ]
    lines.append("  - Parts:")
    lines += [f"    - {page.relative_to(SOURCE)}" for page in sorted(SOURCE.glob("*/README.md"))]
    return "\n".join([*lines, "  - CHANGELOG.md"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The documentation as a site.")
    parser.add_argument("site", type=Path, nargs="?", default=ROOT / "build" / "site", help="where to")
    build(parser.parse_args().site.resolve())
