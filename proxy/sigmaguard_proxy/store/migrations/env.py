"""Alembic's entry: runs migrations on the connection it is given. Opens none itself."""

from alembic import context

from sigmaguard_proxy.store.metadata import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=connection.dialect.name == "sqlite")
with context.begin_transaction():
    context.run_migrations()
