"""A hub with campaigns."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine
from tests.matcher.campaigns.world import Hub, Pool

from fallow_matcher.settings import HubSettings


@pytest.fixture
def hub(database: Engine, configured: HubSettings) -> Hub:
    return Hub(database, configured, Pool())
