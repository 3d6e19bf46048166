"""What may stand in a path's place holders. Knows patterns, no endpoint."""

PATH_PATTERNS = {
    "tenant": r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?",
    "user": r"usr_[0-9a-f]{24}",
    "key": r"key_[0-9a-f]{24}",
    "token": r"tok_[0-9a-f]{24}",
    "session": r"ses_[0-9a-f]{24}",
    "record": r"(exc|act)_[0-9a-f]{32}",
    "call": r"[A-Za-z0-9_]{1,64}",
    "upstream": r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}",
    "agent": r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,63}",
    "policy": r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?",
    "number": r"[1-9][0-9]{0,5}",
}
