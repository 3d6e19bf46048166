"""The audit log: one record an exchange and one an administrative act, hash-chained per tenant.

`recorder` appends to a local write-ahead file, `shipper` moves records into the database exactly once,
`verify` proves them, `erase` forgets people without breaking the chain, `queries` feeds a dashboard.
"""
