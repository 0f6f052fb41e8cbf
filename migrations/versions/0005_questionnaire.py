"""The questionnaire of a workload, and the whole recommendation beside its kind."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade():
    # Plain ALTER: building the table anew would drop what others refer to.
    op.add_column("workload", sa.Column("gates", sa.Text(), nullable=False, server_default="{}"))
    op.add_column("advice", sa.Column("document", sa.Text(), nullable=False, server_default="{}"))


def downgrade():
    op.drop_column("advice", "document")
    op.drop_column("workload", "gates")
