"""Snakemake's HTML report with how the rules fared in the federation: `snakemake --reporter fallow`.

Snakemake imports this on every call, after its own reporter: nothing here may be slow or fail.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from snakemake.report.html_reporter import Reporter as HtmlReporter
from snakemake_interface_report_plugins.settings import ReportSettingsBase

__all__ = ["ReportSettings", "Reporter"]


@dataclass
class ReportSettings(ReportSettingsBase):  # type: ignore[misc]
    """What a user may choose."""

    path: Optional[Path] = field(  # noqa: UP045 - Snakemake makes an argument of it
        default=None,
        metadata={"help": "The report to write, .html or .zip.", "env_var": False, "required": True},
    )
    run: Optional[str] = field(  # noqa: UP045
        default=None,
        metadata={
            "help": "Run of the fallow executor to show; default: the latest in .snakemake/fallow.",
            "env_var": False,
            "required": False,
        },
    )
    stylesheet_path: Optional[Path] = field(  # noqa: UP045
        default=None,
        metadata={"help": "A stylesheet of your own.", "env_var": False, "required": False},
    )


class Reporter(HtmlReporter):  # type: ignore[misc]
    """Snakemake's own report, whose first page also tells of the run."""

    def __post_init__(self) -> None:
        from snakemake_executor_plugin_fallow.htmlreport import section

        super().__post_init__()
        self.workflow_description += section(Path(".snakemake") / "fallow", self.settings.run)
