"""The audit log: records, contents, chains, checkpoints, positions, counts, retention."""

import sqlalchemy as sa
from alembic import op

revision = "0001_audit"
down_revision = None
branch_labels = ("audit",)
depends_on = None


def upgrade() -> None:
    """Creates the tables."""
    op.create_table(
        "audit_records",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("protocol", sa.String(), nullable=False),
        sa.Column("endpoint", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("policy", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("intended", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("added_us", sa.BigInteger(), nullable=False),
        sa.Column("first_token_us", sa.BigInteger(), nullable=False),
        sa.Column("total_us", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_micros", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("act", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("facts", sa.LargeBinary(), nullable=False),
        sa.Column("personal", sa.LargeBinary(), nullable=False),
        sa.Column("personal_digest", sa.LargeBinary(), nullable=False),
        sa.Column("content_digest", sa.LargeBinary(), nullable=False),
        sa.Column("personal_erased_by", sa.BigInteger(), nullable=False),
        sa.Column("content_erased_by", sa.BigInteger(), nullable=False),
        sa.Column("previous", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "sequence", name="pk_audit_records"),
    )
    op.create_index(
        "ix_audit_records_acts",
        "audit_records",
        ["tenant", "at_us", "act"],
        sqlite_where=sa.text("kind = 'act'"),
        postgresql_where=sa.text("kind = 'act'"),
    )
    op.create_index("ix_audit_records_id", "audit_records", ["id"], unique=True)
    op.create_index(
        "ix_audit_records_notable",
        "audit_records",
        ["tenant", "at_us", "rule"],
        sqlite_where=sa.text("intended NOT IN ('', 'allow') OR status >= 400"),
        postgresql_where=sa.text("intended NOT IN ('', 'allow') OR status >= 400"),
    )
    op.create_index("ix_audit_records_tenant_agent_at", "audit_records", ["tenant", "agent", "at_us"])
    op.create_index("ix_audit_records_tenant_at", "audit_records", ["tenant", "at_us"])
    op.create_index("ix_audit_records_tenant_key_at", "audit_records", ["tenant", "key", "at_us"])
    op.create_table(
        "audit_contents",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_audit_contents"),
    )
    op.create_index("ix_audit_contents_tenant_at", "audit_contents", ["tenant", "at_us"])
    op.create_table(
        "audit_chains",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", name="pk_audit_chains"),
    )
    op.create_table(
        "audit_checkpoints",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("base", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "sequence", "base", name="pk_audit_checkpoints"),
    )
    op.create_table(
        "audit_positions",
        sa.Column("segment", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("segment", name="pk_audit_positions"),
    )
    op.create_table(
        "audit_counts",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("span", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("minute", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("intended", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("exchanges", sa.BigInteger(), nullable=False),
        sa.Column("errors", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_micros", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "tenant", "span", "minute", "agent", "model", "mode", "action", "intended", "rule", name="pk_audit_counts"
        ),
    )
    op.create_table(
        "audit_latencies",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("span", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("minute", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("bucket", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("exchanges", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "span", "what", "minute", "bucket", name="pk_audit_latencies"),
    )
    op.create_table(
        "audit_retention",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("content_days", sa.Integer(), nullable=False),
        sa.Column("personal_days", sa.Integer(), nullable=False),
        sa.Column("record_days", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", name="pk_audit_retention"),
    )


def downgrade() -> None:
    """Removes the tables, and with them every record."""
    op.drop_table("audit_retention")
    op.drop_table("audit_latencies")
    op.drop_table("audit_counts")
    op.drop_table("audit_positions")
    op.drop_table("audit_checkpoints")
    op.drop_table("audit_chains")
    op.drop_table("audit_contents")
    op.drop_table("audit_records")
