"""ranges and flips of an assessment"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    with op.batch_alter_table("assessment") as batch:
        batch.add_column(sa.Column("ranges", sa.Text(), server_default="", nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("assessment") as batch:
        batch.drop_column("ranges")
