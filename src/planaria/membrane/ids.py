"""Ids derived from content, so that equal input gives equal ids."""

import hashlib


def short_hash(*parts: str) -> str:
    """Eight hexadecimal digits of the parts; not for secrets."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:8]
