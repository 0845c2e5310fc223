"""The job's command line as words. Snakemake writes it for a shell, with Python's quotes. Pure."""

from __future__ import annotations

import ast
import re
import shlex

_WORD = re.compile(
    r"""\s*(?:(?P<literal>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")(?=\s|$)|(?P<shell>(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s'"\\])+))""",
    re.DOTALL,
)

_QUOTED = re.compile(r"""['"\\]""")


def words(line: str) -> list[str]:
    """The words of a command line.

    A word in quotes is what Python's `repr` made of it: a shell would read what has both kinds of quotes, a backslash or a
    line break otherwise, or not at all.

    Raises:
        ValueError: A quote is not closed.
    """
    found, at, line = [], 0, line.rstrip()
    while at < len(line):
        word = _WORD.match(line, at)
        if word is None:
            raise ValueError(f"cannot be read: {line[at : at + 100]}")
        literal, shell = word["literal"], word["shell"]
        if literal:
            found.append(str(ast.literal_eval(literal)))
        else:
            found.append("".join(shlex.split(shell)) if _QUOTED.search(shell) else shell)
        at = word.end()
    return found
