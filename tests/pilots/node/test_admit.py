from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import fallow_pilots.node

HOOK = Path(fallow_pilots.node.__file__).with_name("fallow-admit.sh")
HARMLESS = """\
Cmd = "/bin/true"
Environment = "A=b C='d e' PATH=/bin OLD_LD=1 GOLD_=2"
In = "/dev/null"
Out = "_condor_stdout"
Err = "_condor_stderr"
TransferIn = false
FallowImages = "sha256:00 sha256:ff"
PreCmd = undefined
"""


def changes(ad: str) -> str:
    return subprocess.run(["sh", HOOK], input=ad, capture_output=True, text=True, check=True).stdout


def test_a_harmless_job_is_left_as_it_is() -> None:
    assert changes(HARMLESS) == ""


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ('Environment = "LD_PRELOAD=/x"', "loader"),
        ('Environment = "A=b LD_LIBRARY_PATH=/x"', "loader"),
        ("Environment = \"A=b L'D'_PRELOAD=/x\"", "loader"),
        ("Environment = \"A='b'' LD_AUDIT=/x'\"", "loader"),
        ('environment = "A=b\\nGLIBC_TUNABLES=/x"', "loader"),
        ('ENVIRONMENT = "ld_preload=/x"', "loader"),
        ('Environment = "BASH_FUNC_unset%%=() { :; }"', "loader"),
        (
            'Environment = ifThenElse(isUndefined(TARGET.FallowCentre), "LD_X=1", "")',
            "expression-environment",
        ),
        ('Environment = "A=b" ?: "LD_PRELOAD=/x"', "expression-environment"),
        ('Env = "LD_PRELOAD=/x"', "env"),
        ('In = "/proc/self/environ"', "stdio"),
        ('Out = "../../bin/fallow-apptainer"', "stdio"),
        ('Err = "/etc/x"', "stdio"),
        ('In = strcat("/proc", "/self/environ")', "expression-in"),
        ("TransferIn = random(2) == 1", "expression-transferin"),
        ('FallowImages = "sha256:00,--bind"', "fallowimages"),
        ('PreCmd = "/bin/sh"', "precmd"),
        ('POSTCMD = "/bin/sh"', "postcmd"),
        ('TransferPlugins = "s3=plugin"', "transferplugins"),
        ('HookKeyword = "MINE"', "hookkeyword"),
        ('ContainerTargetDir = "/"', "containertargetdir"),
        ('JobMountUnderScratch = "/etc"', "jobmountunderscratch"),
    ],
)
def test_a_job_that_reaches_for_the_node_is_disarmed(line: str, word: str) -> None:
    said = changes(f"{HARMLESS}{line}\n").splitlines()
    assert f'FallowImages = "refused-{word}"' in said
    assert {'Environment = ""', 'In = "/dev/null"', 'Out = "_condor_stdout"', 'Err = "_condor_stderr"'} < set(
        said
    )
