"""Files and directories deleted whole, also what payloads or images left in them without permissions."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Callable


def remove_tree(root: Path) -> None:
    """Delete a file, a link or a directory."""

    def open_and_retry(function: Callable[[str], object], path: str, _: object) -> None:
        for closed in (Path(path).parent, Path(path)):
            if not closed.is_symlink() and closed.is_dir():
                closed.chmod(stat.S_IRWXU)
        if Path(path).is_dir() and not Path(path).is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif os.path.lexists(path):
            function(path)

    if root.is_dir() and not root.is_symlink():
        shutil.rmtree(root, onerror=open_and_retry)
    else:
        root.unlink(missing_ok=True)
