"""Run by Alembic: the upgrade takes place in the transaction that `fallow_matcher.database` opened."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], target_metadata=None)
context.run_migrations()
