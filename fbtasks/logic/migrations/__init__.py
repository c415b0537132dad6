"""Alembic's revisions of the store, run by `Store.migrate`."""
