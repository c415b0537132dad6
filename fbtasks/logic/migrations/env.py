"""What Alembic runs to migrate: on the connection it is handed, inside that one's transaction and lock.

Logging stays as the process has set it up.
"""

from alembic import context

from fbtasks.logic.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
