"""The hot path's end of the audit log: one record in, one write(2), done. Never meets the database."""

import time
from collections.abc import Mapping
from typing import Any

import msgspec

from sigmaguard_proxy.audit.entries import Act, entry_to_bytes, new_act_id
from sigmaguard_proxy.audit.keys import ContentCipher
from sigmaguard_proxy.audit.wal import Wal
from sigmaguard_proxy.ports import ExchangeRecord

CONTENT_LIMIT_BYTES = 1024 * 1024  # a body beyond this is not kept: encrypting it would hold up the loop for ms


class AuditRecorder:
    """Implements `ports.Recorder` over a write-ahead folder; also takes administrative acts."""

    def __init__(self, wal: Wal, cipher: ContentCipher) -> None:
        self._wal = wal
        self._cipher = cipher

    def record(self, record: ExchangeRecord) -> None:
        """Appends a record, its content encrypted. Raises OSError where the folder is full or broken."""
        if record.content is not None:
            record = self._sealed(record, record.content)
        self._wal.append(entry_to_bytes(record))

    def record_act(
        self, tenant: str, actor: str, action: str, target: str, details: Mapping[str, Any] | None = None
    ) -> str:
        """Appends an administrative act and returns its id. Raises OSError like `record`.

        `action` is `noun.verb` in the past (`policy.promoted`), `details` JSON values without secrets.
        """
        act = Act(new_act_id(), time.time(), tenant, actor, action, target, dict(details or {}))
        self._wal.append(entry_to_bytes(act))
        return act.id

    def _sealed(self, record: ExchangeRecord, content: tuple[bytes, bytes]) -> ExchangeRecord:
        tenant, exchange = record.subject.tenant, record.exchange
        request, response = (
            self._cipher.encrypt(tenant, exchange, part, plain) if len(plain) <= CONTENT_LIMIT_BYTES else b""
            for part, plain in zip(("request", "response"), content, strict=True)
        )
        return msgspec.structs.replace(record, content=(request, response))
