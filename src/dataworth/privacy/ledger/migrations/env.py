"""Run by alembic on the connection, and inside the transaction, that the caller holds."""

from alembic import context

from dataworth.privacy.ledger.schema import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
    transactional_ddl=True,  # of SQLite too: the driver is told not to commit by itself
)
context.run_migrations()
