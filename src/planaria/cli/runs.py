"""Where a run is read from: a session of the garden, whether its node runs or not, or a file of an export."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from planaria.cli.errors import REFUSED, CliError
from planaria.cli.garden import find_garden

if TYPE_CHECKING:
    from planaria.agents.past.source import StoredSource


def ask_run(what: str, garden: Path | None, method: str, **params: Any) -> Any:
    """The answer of `session.replay`, `session.step`, `session.run` or `session.prompt` about a session, or a file.

    Args:
        what: a session (`scout@garden`, or `scout` if it sits in one room), or a file; `FILE:scout@garden` names one
            of several in it.
        garden: as named by `--garden`; a file needs none.
    """
    found = _file(what)
    if found is not None:
        return _of_file(*found, method, params)
    from planaria.cli.journal.door import open_door

    with open_door(find_garden(garden)) as door:
        return door.ask(method, session=what, **params)


def _file(what: str) -> tuple[Path, str] | None:
    """The file and the session in it, if that is what is meant."""
    path, _, session = what.partition(":")
    for name, inside in ((what, ""), (path, session)):
        if Path(name).is_file():
            return Path(name), inside
    if path.endswith(".jsonl"):
        raise CliError(
            REFUSED, f"there is no file {path}", "write one with `planaria journal export`", "not_found"
        )
    return None


def _of_file(path: Path, session: str, method: str, params: dict[str, Any]) -> Any:
    import msgspec

    from planaria.agents.past.replay import NoSuchStep, ledger_of, replay, run_of, step_of
    from planaria.agents.past.seed import SeedLost
    from planaria.agents.past.sent import sent
    from planaria.agents.past.source import StoredSource
    from planaria.agents.past.stored import at_once, read_run
    from planaria.cortex.upkeep.portable import Unfit

    async def answer(source: StoredSource, name: str) -> Any:
        ledger = await ledger_of(source, name)
        if method == "session.step":
            return await step_of(source, name, params["step"], ledger=ledger)
        if method == "session.prompt":
            return await sent(source, name, ledger, turn=params["turn"], step=params["step"])
        if method == "session.run":
            return await run_of(source, name, ledger, params.get("first", 1), params.get("limit", 1000))
        return await replay(source, name, to=params.get("to"), limit=params.get("limit", 100), ledger=ledger)

    try:
        source = StoredSource(read_run(path))
        return msgspec.json.decode(
            msgspec.json.encode(at_once(answer(source, _named(source, path, session))))
        )
    except (NoSuchStep, SeedLost, Unfit) as error:
        raise CliError(REFUSED, str(error), "", "bad_request") from error
    except OSError as error:
        raise CliError(REFUSED, f"{path} cannot be read: {error.strerror}", "", "bad_request") from error


def _named(source: "StoredSource", path: Path, session: str) -> str:
    from planaria.agents.past.stored import sessions_of

    known = sessions_of(source.events)
    if session:
        known = sorted(
            {e.session for e in source.events if session in (e.session, e.session.partition(":")[2])}
        )
    if len(known) == 1:
        return known[0]
    names = ", ".join(name.partition(":")[2] for name in sessions_of(source.events)) or "none"
    raise CliError(
        REFUSED,
        f"{path} has these sessions: {names}",
        f"name one: {path}:{names.split(', ')[0]}",
        "bad_request",
    )
