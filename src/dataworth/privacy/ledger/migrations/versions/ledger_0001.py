"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "dataworth_ledger",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("made", sa.Text, nullable=False),
        sa.Column("population", sa.Text, nullable=False),
        sa.Column("unit", sa.Text, nullable=False),
        sa.Column("max_rows", sa.BigInteger, nullable=False),
        sa.Column("relation", sa.Text, nullable=False),
        sa.Column("composition", sa.Text, nullable=False),
        sa.Column("epsilon", sa.Text, nullable=False),
        sa.Column("delta", sa.Text, nullable=False),
        sa.Column("loss_cap", sa.BigInteger, nullable=False),
        sa.Column("delta_cap", sa.BigInteger, nullable=False),
        sa.Column("loss_spent", sa.BigInteger, nullable=False),
        sa.Column("delta_spent", sa.BigInteger, nullable=False),
        sa.Column("releases", sa.BigInteger, nullable=False),
        sa.Column("head", sa.Text, nullable=False),
        sa.CheckConstraint("id = 1", name="dataworth_ledger_one_row"),
        sa.CheckConstraint("loss_spent >= 0 AND loss_spent <= loss_cap", name="dataworth_ledger_loss"),
        sa.CheckConstraint("delta_spent >= 0 AND delta_spent <= delta_cap", name="dataworth_ledger_delta"),
        sa.CheckConstraint("releases >= 0", name="dataworth_ledger_releases"),
    )
    op.create_table(
        "dataworth_releases",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("made", sa.Text, nullable=False),
        sa.Column("unit", sa.Text, nullable=False),
        sa.Column("max_rows", sa.BigInteger, nullable=False),
        sa.Column("relation", sa.Text, nullable=False),
        sa.Column("epsilon", sa.BigInteger, nullable=False),
        sa.Column("delta", sa.BigInteger, nullable=False),
        sa.Column("loss_charge", sa.BigInteger, nullable=False),
        sa.Column("delta_charge", sa.BigInteger, nullable=False),
        sa.Column("events", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("request_key", sa.Text),
        sa.Column("previous", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.UniqueConstraint("request_key", name="dataworth_releases_request_key"),
        sa.UniqueConstraint("previous", name="dataworth_releases_previous"),
        sa.CheckConstraint("number >= 1", name="dataworth_releases_number"),
        sa.CheckConstraint("epsilon > 0 AND delta > 0", name="dataworth_releases_declared"),
        sa.CheckConstraint("loss_charge > 0 AND delta_charge >= 0", name="dataworth_releases_charge"),
    )
    op.create_table(
        "dataworth_noisy",
        sa.Column(
            "number", sa.BigInteger, sa.ForeignKey("dataworth_releases.number"), primary_key=True, autoincrement=False
        ),
        sa.Column("shape", sa.Text, nullable=False),
        sa.Column("counts", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "dataworth_outbox",
        sa.Column(
            "number", sa.BigInteger, sa.ForeignKey("dataworth_releases.number"), primary_key=True, autoincrement=False
        ),
        sa.Column("payload", sa.LargeBinary, nullable=False),
    )
