"""JSON pointers (RFC 6901): read and write one place of a parsed body. Knows no protocol."""

KEY = "~key"  # ends the pointer of an object's key itself: no escaped key holds a tilde that 0 or 1 does not follow


def escape(token: str) -> str:
    """A key as it stands in a pointer."""
    if "~" in token or "/" in token:
        return token.replace("~", "~0").replace("/", "~1")
    return token


def tokens(pointer: str) -> list[str]:
    """A pointer's keys, unescaped. Raises ValueError where it does not begin with `/`."""
    if not pointer:
        return []
    if pointer[0] != "/":
        raise ValueError(f"`{pointer}` is no JSON pointer: it must begin with `/`")
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer[1:].split("/")]


def get(body: object, pointer: str) -> object:
    """What stands at a pointer; the key itself where it ends in `KEY`. Raises LookupError."""
    at = body
    for token in tokens(pointer):
        if isinstance(at, dict) and token not in at and token.endswith(KEY):
            name = token.removesuffix(KEY)
            _step(at, name)
            at = name
        else:
            at = _step(at, token)
    return at


def put(body: object, pointer: str, value: object) -> None:
    """Replaces what stands at a pointer. Raises LookupError where nothing does."""
    *path, last = tokens(pointer)
    at = body
    for token in path:
        at = _step(at, token)
    if isinstance(at, list):
        at[int(last)] = value
    elif isinstance(at, dict) and last in at:
        at[last] = value
    elif isinstance(at, dict) and last.endswith(KEY) and last.removesuffix(KEY) in at:
        items = list(at.items())
        at.clear()
        at.update((value if key == last.removesuffix(KEY) else key, inner) for key, inner in items)
    else:
        raise LookupError(f"nothing stands at `{pointer}`")


def clear_beside(body: object, pointer: str, key: str) -> bool:
    """Empties `key` in every object on the way to a pointer (null, or [] for a list); whether there was one."""
    at, cleared = body, False
    for token in tokens(pointer):
        if isinstance(at, dict) and at.get(key):
            at[key] = [] if isinstance(at[key], list) else None
            cleared = True
        try:
            at = _step(at, token)
        except LookupError:  # the pointer of a key, or of something below a key that was edited
            break
    return cleared


def _step(at: object, token: str) -> object:
    if isinstance(at, dict):
        return at[token]
    if isinstance(at, list):
        return at[int(token)]
    raise LookupError(f"`{token}` leads into something that is neither object nor array")
