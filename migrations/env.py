"""Alembic's entry: runs on the connection that `monitor.storage.migrate` hands over."""

from alembic import context

from monitor.storage.tables import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    msg = "Run migrations with `crossover db upgrade`, which holds the lock they need."
    raise SystemExit(msg)

context.configure(
    connection=connection,
    target_metadata=metadata,
    # SQLite cannot alter most things in place; batch mode rebuilds the table.
    render_as_batch=True,
    # With BEGIN IMMEDIATE a failed migration leaves nothing behind, on SQLite too.
    transactional_ddl=True,
    compare_server_default=True,
    include_object=lambda _object, name, kind, _reflected, _other: (
        not (
            # Monthly partitions are made and dropped by the writer.
            kind == "table" and name is not None and "_p2" in name
        )
    ),
)
context.run_migrations()
