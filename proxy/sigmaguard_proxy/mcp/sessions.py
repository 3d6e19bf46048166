"""What is remembered of one client's session with one server: who asked what, masked values, taint. Bounded."""

from collections import OrderedDict

import msgspec

from sigmaguard.mask import Vault
from sigmaguard_proxy.mcp.message import Id, Kind, Message

ASKED = 1_000  # requests under way in one session
SESSIONS = 10_000  # sessions remembered; the one idle longest goes first
VAULT_TEXTS = 20_000  # results masked into one vault before a fresh one is begun


class Asked(msgspec.Struct, frozen=True):
    """A request under way: its method, and the tool where it is a call."""

    method: str
    tool: str = ""


class Session:
    """One session. `id` is empty for callers without one: then nothing outlives the exchange but taint.

    `spans_servers` marks a session with the federated endpoint, in which all of an agent's tools are called.
    """

    def __init__(self, identifier: str = "", *, spans_servers: bool = False) -> None:
        self.id = identifier
        self.spans_servers = spans_servers
        self.by_client: OrderedDict[Id, Asked] = OrderedDict()
        self.by_server: OrderedDict[Id, Asked] = OrderedDict()
        self.vault = Vault(())
        self._masked = 0

    def note(self, message: Message, *, from_client: bool) -> None:
        """Remembers a request, so that its answer is known for what it is."""
        if message.kind is not Kind.REQUEST:
            return
        book = self.by_client if from_client else self.by_server
        name = message.params.get("name") if message.method == "tools/call" else ""
        book[message.id] = Asked(message.method, name if isinstance(name, str) else "")
        if len(book) > ASKED:
            book.popitem(last=False)

    def asked(self, message: Message, *, by_client: bool) -> Asked:
        """The request that an answer answers; an empty one where it was never seen."""
        book = self.by_client if by_client else self.by_server
        return book.pop(message.id, Asked(""))

    def masking_vault(self) -> Vault:
        """The vault that results are masked into; a fresh one from time to time, so that it stays bounded."""
        self._masked += 1
        if self._masked > VAULT_TEXTS:
            self.vault, self._masked = Vault(()), 1
        return self.vault


class Sessions:
    """The sessions of one server, by who holds them: an id is good only for the caller it was seen from."""

    def __init__(self, limit: int = SESSIONS) -> None:
        self._limit = limit
        self._known: OrderedDict[tuple[str, str], Session] = OrderedDict()

    def get(self, scope: str, identifier: str) -> Session:
        """The session of a caller; a passing one where the caller has none."""
        if not identifier:
            return Session()
        key = (scope, identifier)
        session = self._known.get(key)
        if session is None:
            session = self._known[key] = Session(identifier)
            if len(self._known) > self._limit:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return session

    def adopt(self, scope: str, identifier: str, session: Session) -> None:
        """Gives a session the id its server has just chosen."""
        session.id = identifier
        self._known[(scope, identifier)] = session
        if len(self._known) > self._limit:
            self._known.popitem(last=False)

    def forget(self, scope: str, identifier: str) -> None:
        """Drops a session that was ended."""
        self._known.pop((scope, identifier), None)
