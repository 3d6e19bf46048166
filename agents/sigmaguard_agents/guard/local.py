"""The firewall in the same process: the engine's own answers, without a server, a record or a limit."""

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence

from sigmaguard.decide import masked_findings
from sigmaguard.mask import Vault, mask_segment
from sigmaguard.model import Action, Direction, Finding, Origin, Segment
from sigmaguard.policy.compile import PolicyLoader
from sigmaguard.policy.compiled import Policy
from sigmaguard.scanning import Scanner, ScanResult
from sigmaguard.wire.body import apply_edits
from sigmaguard_agents.guard.answer import Answer, Found, Origins, origins
from sigmaguard_agents.guard.answer import Direction as DirectionName
from sigmaguard_policies import policies_root

KEPT = 10_000  # exchanges whose masked values can still be put back


class LocalGuard:
    """Judges texts under one policy: a shipped name, a file, or a compiled policy. Thread-safe.

    Raises ConfigError where the policy cannot be loaded.
    """

    def __init__(self, policy: str | Policy = "basic") -> None:
        loaded = PolicyLoader(policies_root()).load(policy) if isinstance(policy, str) else policy
        self._scanner = Scanner(loaded)
        self._policy = loaded
        self._mask_key = os.urandom(32)
        self._lock = threading.Lock()
        self._vaults: OrderedDict[str, Vault] = OrderedDict()

    def check(
        self, texts: Sequence[str], *, direction: DirectionName = "input", origin: Origins = "", restore: str = ""
    ) -> Answer:
        """The verdict over texts that belong to one exchange. Raises ValueError for an unknown origin."""
        way = Direction(direction)
        default = Origin.USER if way is Direction.INPUT else Origin.ASSISTANT
        segments = [
            Segment(f"/segments/{at}/text", Origin(said_by) if said_by else default, text, message=f"/segments/{at}")
            for at, (text, said_by) in enumerate(zip(texts, origins(texts, origin), strict=True))
        ]
        with self._lock:  # the scanner's memory is not for several threads
            found = self._scanner.scan_segments(segments, way)
            vault = Vault(texts)
            changed = [self._masked(one, found, vault, way) for one in segments]
            known = self._vaults.get(restore) if restore else None
            if known is not None and way is Direction.OUTPUT and found.action is not Action.BLOCK:
                changed = [known.restore(text) for text in changed]
            token = self._keep(vault) if vault else ""
        return self._answer(found, changed, token)

    def check_text(
        self, text: str, *, direction: DirectionName = "input", origin: Origins = "", restore: str = ""
    ) -> Answer:
        """The verdict over one text."""
        return self.check([text], direction=direction, origin=origin, restore=restore)

    def _masked(self, segment: Segment, found: ScanResult, vault: Vault, way: Direction) -> str:
        if found.action is not Action.MASK:
            return segment.text
        own = [one for one in masked_findings(self._policy, way, found.findings) if one.path == segment.path]
        edits = mask_segment(segment, own, self._policy.masks, vault, self._mask_key, way)
        return apply_edits(segment.text, edits) if edits else segment.text

    def _keep(self, vault: Vault) -> str:
        token = os.urandom(12).hex()
        self._vaults[token] = vault
        while len(self._vaults) > KEPT:
            self._vaults.popitem(last=False)
        return token

    def _answer(self, found: ScanResult, texts: list[str], token: str) -> Answer:
        rule = found.verdict.rule if found.verdict is not None else ""
        blocked = found.action is Action.BLOCK
        return Answer(
            action=found.action.value,
            intended=found.action.value,
            texts=tuple(texts),
            policy=self._policy.name,
            rule=rule,
            score=found.score,
            message=f"Blocked by Sigmaguard: policy `{self._policy.name}`, rule `{rule}`." if blocked else "",
            findings=tuple(map(_found, found.findings)),
            restore=token,
        )


def _found(finding: Finding) -> Found:
    at = finding.path.removeprefix("/segments/").partition("/")[0]
    return Found(
        rule=finding.rule,
        detector=finding.detector,
        start=finding.start,
        end=finding.end,
        score=finding.score,
        segment=int(at) if at.isdigit() else 0,
        path=finding.path,
        entity=finding.entity,
        tags=finding.tags,
    )
