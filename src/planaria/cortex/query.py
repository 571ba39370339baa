"""Which events to read from the journal."""

import msgspec


class Query(msgspec.Struct, frozen=True):
    """Every given condition must hold; the answer is in order of `seq`.

    Args:
        session: only this stream.
        kinds: only these kinds; empty for all.
        after_seq: only events later than this one.
        before_seq: only events earlier than this one.
        trace_id: only this trace.
        before_at: only events the journal accepted before this time, unix seconds. No index: give a limit.
        stripped: only events whose payload was pruned (True) or was not (False).
        limit: at most so many, the first in the order asked for; None for all of them, held in memory at once
            (`cortex/fold.py` reads long streams page by page).
        newest_first: from the end backwards.
        contents: put long texts back in their places; False leaves `{"$content": "<hash>", "chars": n}` there.
        as_found: rows that no event can be made of are given all the same, with what can be told of them, to whoever
            looks for damage; to all others they are `StoreDamaged`.
    """

    session: str | None = None
    kinds: tuple[str, ...] = ()
    after_seq: int = 0
    before_seq: int | None = None
    trace_id: str | None = None
    before_at: float | None = None
    stripped: bool | None = None
    limit: int | None = None
    newest_first: bool = False
    contents: bool = True
    as_found: bool = False
