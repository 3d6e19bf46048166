"""Counts by day, summed from those by hour: a month by agent read twelve thousand rows a day."""

from alembic import op

revision = "0002_counts_by_day"
down_revision = "0001_audit"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Sums up the days there are; from now on the appender keeps them."""
    op.execute(
        "INSERT INTO audit_counts (tenant, span, minute, agent, model, mode, action, intended, rule, "
        "exchanges, errors, input_tokens, output_tokens, cost_micros) "
        "SELECT tenant, 1440, minute - minute % 1440, agent, model, mode, action, intended, rule, "
        "sum(exchanges), sum(errors), sum(input_tokens), sum(output_tokens), sum(cost_micros) "
        "FROM audit_counts WHERE span = 60 "
        "GROUP BY tenant, minute - minute % 1440, agent, model, mode, action, intended, rule"
    )


def downgrade() -> None:
    """Forgets the days; the hours still tell."""
    op.execute("DELETE FROM audit_counts WHERE span = 1440")
