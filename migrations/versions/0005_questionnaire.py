"""The questionnaire of a workload, and the whole recommendation beside its kind."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade():
    with op.batch_alter_table("workload") as batch:
        batch.add_column(sa.Column("gates", sa.Text(), nullable=False, server_default="{}"))
    with op.batch_alter_table("advice") as batch:
        batch.add_column(sa.Column("document", sa.Text(), nullable=False, server_default="{}"))


def downgrade():
    with op.batch_alter_table("advice") as batch:
        batch.drop_column("document")
    with op.batch_alter_table("workload") as batch:
        batch.drop_column("gates")
