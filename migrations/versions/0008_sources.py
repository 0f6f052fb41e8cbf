"""What further sources need."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_OF_TOKENS = ("source", "account", "project", "label")


def upgrade():
    add_token_bindings()


def downgrade():
    drop_token_bindings()


def add_token_bindings():
    for name in _OF_TOKENS:
        op.add_column(
            "access_token", sa.Column(name, sa.String(200), nullable=False, server_default="")
        )


def drop_token_bindings():
    for name in reversed(_OF_TOKENS):
        op.drop_column("access_token", name)
