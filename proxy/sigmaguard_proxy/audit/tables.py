"""The audit log's tables. Knows columns and indexes; what they mean is `rows` and `chain`.

`audit_records` is append-only but for erasure, which empties `personal` and names the act that did it.
Everything derived (minutes, latencies) is written in the same transaction as the records it counts.
"""

from sqlalchemy import BigInteger, Column, Float, Index, Integer, LargeBinary, String, Table, text

from sigmaguard_proxy.store.metadata import metadata

records = Table(
    "audit_records",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("protocol", String, nullable=False),
    Column("endpoint", String, nullable=False),
    Column("model", String, nullable=False),
    Column("agent", String, nullable=False),
    Column("key", String, nullable=False),
    Column("policy", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("status", Integer, nullable=False),
    Column("action", String, nullable=False),
    Column("intended", String, nullable=False),
    Column("rule", String, nullable=False),
    Column("score", Float, nullable=False),
    Column("added_us", BigInteger, nullable=False),
    Column("first_token_us", BigInteger, nullable=False),
    Column("total_us", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost_micros", BigInteger, nullable=False),
    Column("actor", String, nullable=False),
    Column("act", String, nullable=False),
    Column("target", String, nullable=False),
    Column("facts", LargeBinary, nullable=False),
    Column("personal", LargeBinary, nullable=False),
    Column("personal_digest", LargeBinary, nullable=False),
    Column("content_digest", LargeBinary, nullable=False),
    Column("personal_erased_by", BigInteger, nullable=False),
    Column("content_erased_by", BigInteger, nullable=False),
    Column("previous", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)
# conditions of partial indexes: a query must say them word for word, without parameters, to be served by one
NOTABLE = text("intended NOT IN ('', 'allow') OR status >= 400")
Index("ix_audit_records_id", records.c.id, unique=True)
Index("ix_audit_records_tenant_at", records.c.tenant, records.c.at_us)
Index("ix_audit_records_tenant_agent_at", records.c.tenant, records.c.agent, records.c.at_us)
Index("ix_audit_records_tenant_key_at", records.c.tenant, records.c.key, records.c.at_us)
Index(
    "ix_audit_records_notable",
    records.c.tenant,
    records.c.at_us,
    records.c.rule,
    sqlite_where=NOTABLE,
    postgresql_where=NOTABLE,
)
ACTS = text("kind = 'act'")
Index(
    "ix_audit_records_acts",
    records.c.tenant,
    records.c.at_us,
    records.c.act,
    sqlite_where=ACTS,
    postgresql_where=ACTS,
)

contents = Table(
    "audit_contents",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False),
)
Index("ix_audit_contents_tenant_at", contents.c.tenant, contents.c.at_us)

# The last link of each tenant's chain, signed anew with every batch. Whoever appends locks this row.
chains = Table(
    "audit_chains",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("key_id", String, nullable=False),
    Column("signature", LargeBinary, nullable=False),
)

# `base` marks the last record removed by retention: the chain's new beginning.
checkpoints = Table(
    "audit_checkpoints",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("base", Integer, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("key_id", String, nullable=False),
    Column("signature", LargeBinary, nullable=False),
)

# How far each write-ahead segment has been shipped; in the same transaction as what it brought.
positions = Table(
    "audit_positions",
    metadata,
    Column("segment", String, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("at_us", BigInteger, nullable=False),
)

# What a dashboard counts. `span` is the length of a time bucket in minutes: 1 (kept for two days), 60 or 1440;
# `minute` is when it begins, in minutes since 1970.
counts = Table(
    "audit_counts",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("span", Integer, primary_key=True, autoincrement=False),
    Column("minute", BigInteger, primary_key=True, autoincrement=False),
    Column("agent", String, primary_key=True),
    Column("model", String, primary_key=True),
    Column("mode", String, primary_key=True),
    Column("action", String, primary_key=True),
    Column("intended", String, primary_key=True),
    Column("rule", String, primary_key=True),
    Column("exchanges", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost_micros", BigInteger, nullable=False),
)

# Latencies by logarithmic bucket: quantiles to within 5 %. `what` is `added`, `total` or `first_token`.
latencies = Table(
    "audit_latencies",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("span", Integer, primary_key=True, autoincrement=False),
    Column("what", String, primary_key=True),
    Column("minute", BigInteger, primary_key=True, autoincrement=False),
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    Column("exchanges", BigInteger, nullable=False),
)

# Tenants with retention of their own, in days; 0 keeps for ever. No row: the defaults.
retention = Table(
    "audit_retention",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("content_days", Integer, nullable=False),
    Column("personal_days", Integer, nullable=False),
    Column("record_days", Integer, nullable=False),
)
