"""What a virtual key may be used for: endpoints and models. Knows the key's lists, no protocol and no stage.

Who may reach what is no matter of inspection: it holds in every mode.
"""

from collections.abc import Set

from sigmaguard.model import Fault, FaultSource
from sigmaguard_proxy.faults import FaultError
from sigmaguard_proxy.ports import Identity

NAMED = 5  # a refusal names so many of what is allowed; a key may list 200


def check_endpoint(identity: Identity, endpoint: str) -> None:
    """Raises FaultError where the key is for other endpoints."""
    if identity.endpoints and endpoint not in identity.endpoints:
        raise _refused("endpoint_not_allowed", f"this key may not use `{endpoint[:100]}`", identity.endpoints)


def check_model(identity: Identity, model: str, *, has_body: bool) -> None:
    """Raises FaultError where the key is for other models.

    A body that names no model, or not as a text, is refused as well: some providers take one of their own choice
    then. Without a body (`GET /v1/models`) there is no model to speak of.
    """
    if not identity.models or model in identity.models or not (model or has_body):
        return
    what = "this key may not use this model" if model else "this key is for some models only: name one in `model`"
    raise _refused("model_not_allowed", what, identity.models)


def _refused(code: str, message: str, allowed: Set[str]) -> FaultError:
    names = [f"`{name}`" for name in sorted(allowed)[:NAMED]]
    more = f" and {len(allowed) - NAMED} more" if len(allowed) > NAMED else ""
    text = f"{message}; it may use {', '.join(names)}{more}"
    return FaultError(Fault(FaultSource.CLIENT, code, text), 403, "permission_error")
