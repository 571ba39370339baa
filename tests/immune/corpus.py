"""Turns as agents have them, good ones and bad ones, in the shape guards see: a text, calls, results.

Each is written out step by step from the way such turns go, with the volatile parts real tools answer with.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from planaria.immune.guards.loops import CallSeen, StepSeen


class Turn(NamedTuple):
    """A turn; a bad one is to be caught at step `by` at the latest, counted from 1."""

    name: str
    steps: Sequence[StepSeen]
    by: int = 0


def step(tool: str, arguments: dict[str, Any], result: str, text: str = "", **marks: bool) -> StepSeen:
    """A step with one call; `failed`, `waits`."""
    return StepSeen(text, (CallSeen(tool, arguments, result, **marks),))


def both(*calls: tuple[str, dict[str, Any], str], text: str = "") -> StepSeen:
    """A step with several calls at once."""
    return StepSeen(text, tuple(CallSeen(tool, arguments, result) for tool, arguments, result in calls))


def failed(tool: str, arguments: dict[str, Any], result: str, text: str = "") -> StepSeen:
    """A step with one call that failed."""
    return step(tool, arguments, result, text, failed=True)


def prose(seed: str, length: int = 60) -> str:
    """A page of words that depend on the seed, so that two seeds have nothing in common."""
    return " ".join(f"{seed}{(n * 7919) % 997}{'aeiou'[n % 5]}" for n in range(length))


MOSS = (
    "1. Mosses of Switzerland - a guide to 1100 species of bryophytes in the Alps. 2. Bern botanical garden: the moss "
    "house is open from April. 3. Sphagnum in raised bogs, its role in storing carbon."
)
TRACEBACK = (
    "Traceback (most recent call last): File app.py line 14 in load: "
    "return parse(text) ValueError: not a date: '31.2.'"
)


def good() -> Iterable[Turn]:
    """Turns that are fine, if long."""
    files = [f"src/part{n}.py" for n in range(12)]
    yield Turn("reads one file after the other", [step("files.read", {"path": f}, prose(f)) for f in files])
    yield Turn(
        "walks through the pages of a search",
        [
            step(
                "web.search",
                {"query": "moss", "page": n},
                prose(f"page{n}"),
                "I look at the next page of results.",
            )
            for n in range(1, 10)
        ],
    )
    fixes = []
    for n in range(6):
        fixes.append(step("files.edit", {"path": "app.py", "old": f"a{n}", "new": f"b{n}"}, "edited app.py"))
        fixes.append(
            step("shell.run", {"command": "pytest -q"}, f"{TRACEBACK} 1 failed in 0.{n}2s", failed=True)
        )
    yield Turn("edits and tests while the same test keeps failing", fixes)
    yield Turn(
        "waits for a deployment with a tool declared to wait",
        [step("deploy.status", {"id": 7}, "running", waits=True) for _ in range(25)],
    )
    yield Turn(
        "watches a build that comes along",
        [step("ci.status", {"build": 88}, f"building: {n * 9} of 100 targets done") for n in range(1, 11)],
    )
    yield Turn(
        "writes a dozen notes",
        [
            step("notes.write", {"path": f"notes/{n}.md", "text": prose(f"n{n}", 20)}, "written")
            for n in range(12)
        ],
    )
    words = ["moss", "lichen", "fern", "horsetail", "liverwort", "clubmoss", "hornwort", "algae"]
    yield Turn(
        "searches for several things, the results overlap by half",
        [
            step("web.search", {"query": w}, f"{MOSS} {prose(w, 30)}", f"Next I search for {w}.")
            for w in words
        ],
    )
    yield Turn(
        "is told twice that a server is busy, then gets through",
        [
            failed("http.get", {"url": "https://example.org/a"}, "503 busy, request id: 7f3a9c21"),
            failed("http.get", {"url": "https://example.org/a"}, "503 busy, request id: 91bc02fe"),
            step("http.get", {"url": "https://example.org/a"}, prose("answer")),
            step("http.get", {"url": "https://example.org/b"}, prose("other")),
        ],
    )
    errors = [
        ("pip install foo", "ERROR: no matching distribution found for foo"),
        ("uv pip install foo-py", "error: the package foo-py requires a compiler, none was found on PATH"),
        ("apt install gcc", "E: could not open lock file, are you root?"),
        ("conda install foo", "bash: line 1: conda: command not found"),
        (
            "python -m venv x && x/bin/pip install foo==1.0",
            "ERROR: foo 1.0 was yanked by its authors, see the notice",
        ),
        ("ls ~/wheels", "foo-0.9-py3-none-any.whl bar-2.0.whl"),
    ]
    yield Turn(
        "tries one way after the other, each with an error of its own",
        [step("shell.run", {"command": c}, e, failed="whl" not in e) for c, e in errors],
    )
    listing = step("files.list", {"path": "."}, "app.py lib.py tests README.md")
    look = step("files.read", {"path": "app.py"}, prose("app"))
    yield Turn("looks at the same two things again to be sure", [listing, look, listing, look])
    yield Turn(
        "walks back through empty days",
        [step("calendar.list", {"day": f"2026-03-{n:02}"}, "no events") for n in range(20, 8, -1)],
    )
    yield Turn(
        "walks back through a log by hours, each without entries",
        [
            step("log.find", {"from": f"2026-03-01T{n:02}:00:00", "level": "error"}, "no entries")
            for n in range(12)
        ],
    )
    yield Turn(
        "asks eight things at once, three times",
        [
            both(*(("files.read", {"path": f"{part}/{n}.py"}, prose(f"{part}{n}", 20)) for n in range(8)))
            for part in ("a", "b", "c")
        ],
    )
    yield Turn(
        "reads thirty pages",
        [
            step(
                "web.fetch",
                {"url": f"https://example.org/{n}"},
                prose(f"p{n}"),
                "Let me read the next source.",
            )
            for n in range(30)
        ],
    )
    commits = []
    for n in range(5):
        commits.append(step("git.status", {}, "On branch main, nothing to commit, working tree clean"))
        commits.append(step("files.write", {"path": f"doc{n}.md", "text": prose(f"d{n}", 15)}, "written"))
        commits.append(
            step("git.commit", {"message": f"Add chapter {n}"}, f"[main {n}ab12c{n}] Add chapter {n}")
        )
    yield Turn("looks at the status before each commit", commits)
    yield Turn(
        "computes, with short results",
        [step("python.run", {"code": f"print({n}**2)"}, str(n * n)) for n in range(2, 12)],
    )
    yield Turn(
        "reads a log in pieces",
        [
            step("files.read", {"path": "server.log", "offset": n * 8000}, prose(f"log{n}", 80))
            for n in range(10)
        ],
    )
    grown = []
    for n in range(1, 7):
        grown.append(step("files.edit", {"path": "list.md", "add": f"- item {n}"}, "ok"))
        grown.append(
            step(
                "files.read",
                {"path": "list.md"},
                "# List " + " ".join(f"- item {m}" for m in range(1, n + 1)),
            )
        )
    yield Turn("reads what it has written after each edit", grown)
    yield Turn(
        "talks with a person through tools",
        [
            step("people.ask", {"text": f"Which colour for room {n}?"}, colour, waits=True)
            for n, colour in enumerate(["blue", "blue", "blue", "green", "blue"])
        ],
    )
    yield Turn(
        "looks at the clock now and then",
        [
            step("time.now", {}, "2026-03-01T10:00:00Z"),
            step("web.fetch", {"url": "https://example.org/table"}, prose("table")),
            step("time.now", {}, "2026-03-01T10:00:04Z"),
            step("notes.write", {"path": "n.md", "text": "departure 10:20"}, "written"),
        ],
    )
    yield Turn(
        "lets a linter count down",
        [
            part
            for n in range(5, 0, -1)
            for part in (
                step(
                    "shell.run",
                    {"command": "ruff check"},
                    f"app.py:{n * 11}: E501 line too long. Found {n} errors.",
                ),
                step("files.edit", {"path": "app.py", "line": n * 11, "new": prose(f"l{n}", 6)}, "ok"),
            )
        ],
    )
    yield Turn(
        "translates ten paragraphs",
        [
            step("translate", {"text": prose(f"de{n}", 25)}, prose(f"en{n}", 25), "Next paragraph.")
            for n in range(10)
        ],
    )
    todo = []
    for n in range(5, 0, -1):
        todo.append(
            step("todo.list", {}, " ".join(f"[ ] task {m} {prose(f't{m}', 4)}" for m in range(1, n + 1)))
        )
        todo.append(step("todo.done", {"task": n}, "ok"))
        todo.append(step("todo.note", {"task": n, "text": prose(f"done{n}", 6)}, "ok"))
    yield Turn("works through a list", todo)
    yield Turn(
        "explores a database",
        [
            step("sql.query", {"sql": "select name from sqlite_master"}, "users orders items payments"),
            *(
                step("sql.query", {"sql": f"pragma table_info({t})"}, f"id integer, {prose(t, 8)}")
                for t in ("users", "orders", "items", "payments")
            ),
            step("sql.query", {"sql": "select count(*) from users"}, "0"),
            step("sql.query", {"sql": "select count(*) from orders"}, "0"),
            step("sql.query", {"sql": "select count(*) from items"}, "0"),
            step("sql.query", {"sql": "select count(*) from payments"}, "12"),
        ],
    )
    yield Turn(
        "searches for one name in many places, and finds nothing in most",
        [
            step("notes.search", {"query": q}, "no matches")
            for q in ("Anna Weber", "invoice 4711", "tulip bulbs", "garden party", "Zurich address")
        ],
    )
    members = [
        "anna",
        "bert",
        "cleo",
        "dan",
        "eve",
        "finn",
        "gus",
        "hanna",
        "ida",
        "jon",
        "kim",
        "leo",
        "mia",
        "ned",
    ]
    queued = '{"status": "queued", "provider": "smtp", "region": "eu-west", "errors": [], "message_id": "msg_%06d"}'
    yield Turn(
        "sends one message after the other, each accepted in the same words",
        [
            step("mail.send", {"to": f"{m}@example.org", "text": "We meet on Friday."}, queued % n, acts=True)
            for n, m in enumerate(members)
        ],
    )
    yield Turn(
        "edits the same line of many files",
        [
            step(
                "files.edit",
                {"path": f"src/{m}/main.py", "old": "import foo", "new": "import bar"},
                f"edited src/{m}/main.py in 1 place; the file has 40 lines now, and nothing else in it was changed",
                acts=True,
            )
            for m in members
        ],
    )
    yield Turn(
        "looks for a word in one folder after the other",
        [step("files.search", {"pattern": "legacy_name", "path": f"src/{m}"}, "no matches") for m in members],
    )
    yield Turn(
        "tries again what comes further each time",
        [
            failed(
                "shell.run",
                {"command": "make"},
                f"make: step {n * 9} of 80: the network is gone, run make again",
            )
            for n in range(1, 6)
        ],
    )
    yield Turn(
        "asks for things that are not there, then for one that is",
        [
            *(failed("http.get", {"url": f"https://example.org/{m}"}, "404 not found") for m in members[:5]),
            step("http.get", {"url": "https://example.org/index"}, prose("index")),
        ],
    )


def bad() -> Iterable[Turn]:
    """Turns that go nowhere."""
    again = step("web.search", {"query": "moss bern"}, MOSS, "I search for moss in Bern.")
    yield Turn("the same search, the same result", [again] * 8, 3)
    yield Turn(
        "the same page, whose answer tells the time",
        [
            step(
                "http.get",
                {"url": "https://example.org/status"},
                f'{{"status": "pending", "generated_at": "2026-03-01T10:0{n}:1{n}Z", "took": 0.{n}3, "visits": {n}}}',
            )
            for n in range(8)
        ],
        3,
    )
    yield Turn(
        "the same failure under another request id",
        [
            failed(
                "api.call",
                {"path": "/v1/items"},
                f"403 forbidden (request_id: 9fa{n}77c{n}), try again in {n} s",
            )
            for n in range(8)
        ],
        4,
    )
    moods = [
        "connection reset",
        "timed out",
        "bad gateway",
        "unexpected end of file",
        "no route to host",
        "refused",
    ]
    yield Turn(
        "the same call fails in ever new words", [failed("http.get", {"url": "x"}, m) for m in moods], 4
    )
    one = step("files.read", {"path": "a.py"}, prose("a"))
    two = step("files.read", {"path": "b.py"}, prose("b"))
    three = step("shell.run", {"command": "make"}, f"make: error 2. {TRACEBACK}", failed=True)
    four = step("git.diff", {}, prose("diff"))
    five = step("files.list", {"path": "."}, "a.py b.py Makefile")
    yield Turn("to and fro between two files", [one, two] * 6, 6)
    yield Turn("a cycle of three", [one, two, three] * 5, 9)
    yield Turn("a cycle of four", [one, two, three, four] * 4, 10)
    yield Turn("a cycle of five", [one, two, three, four, five] * 4, 11)
    asked = [
        "best hiking trails near Bern",
        "hiking trails near Bern best",
        "the best trails for hiking near Bern",
        "Bern: best hiking trails nearby",
        "best trails, hiking, near Bern",
        "near Bern best hiking trails",
    ]
    trails = (
        "1. Gurten panorama walk 2. Aare gorge trail 3. Niesen climb, with times, maps and inns on the way"
    )
    yield Turn(
        "asks the same in other words, and gets the same",
        [step("web.search", {"query": q}, trails, "Let me search for good trails.") for q in asked],
        4,
    )
    yield Turn(
        "asks the same in other words, and finds nothing",
        [step("notes.search", {"query": q}, "No results found.", "Let me search once more.") for q in asked],
        5,
    )
    reasons = [
        "I should check the configuration file to see the port.",
        "Let me check the configuration file again to see the port.",
        "To see the port I should check the configuration file.",
        "I will check the configuration file for the port again.",
    ]
    config = prose("config")
    yield Turn(
        "reads the same file with ever new reasons",
        [step("files.read", {"path": "config.toml"}, config, r) for r in reasons],
        3,
    )
    yield Turn(
        "the same question under another request id of its own",
        [
            step(
                "api.find",
                {"name": "Weber", "request_id": f"r-{n}a{n}", "timestamp": 1770000000 + n},
                prose("weber"),
            )
            for n in range(6)
        ],
        3,
    )
    yield Turn(
        "the same page past the cache",
        [
            step("web.fetch", {"url": f"https://example.org/a?_={1770000000 + n}"}, prose("cached"))
            for n in range(6)
        ],
        3,
    )
    uptime = [
        part
        for n in range(5)
        for part in (
            step(
                "node.status",
                {},
                f'{{"state": "degraded", "uptime_seconds": {1000 + n}, "time": "10:0{n}:00"}}',
            ),
            step(
                "node.log", {"last": 5}, f"2026-03-01 10:0{n}:11 worker pid {400 + n} restarted after 0.{n} s"
            ),
        )
    ]
    yield Turn("to and fro between a status and a log that only tell the time", uptime, 6)
    names = ["file_read", "read_file", "files_read", "read", "filesystem.read", "cat", "open_file"]
    yield Turn(
        "guesses at names of tools",
        [
            failed(
                n,
                {"path": "a.py"},
                f"there is no tool '{n}'; on offer: notes.read, notes.write, web.fetch, web.search",
            )
            for n in names
        ],
        7,
    )
    yield Turn(
        "hands over arguments that are none, each time others",
        [
            failed(
                "notes.write",
                {"MALFORMED": f'{{"path": "a{n}'},
                "the arguments of notes.write were not a JSON object: unexpected end of data; write them anew",
            )
            for n in range(9)
        ],
        7,
    )
    parts = [step("files.read", {"path": p}, prose(p)) for p in "abcdef"]
    shuffled = [parts[n] for n in (2, 0, 4, 1, 5, 3, 1, 4)]
    yield Turn("reads all it knows once more, in another order", [*parts, *shuffled], 12)
    yield Turn(
        "writes the same again and again",
        [step("notes.write", {"path": "plan.md", "text": "1. Begin."}, "written")] * 5,
        3,
    )
    yield Turn(
        "polls with a tool that is not declared to",
        [
            step("job.state", {"job": 12}, f"still running (check #{n + 3}, {n * 5} seconds)")
            for n in range(8)
        ],
        3,
    )
    searched = [
        part
        for n in range(4)
        for part in (
            step(
                "web.search",
                {"query": "bus line 12"},
                f"1. timetable.example.org, fetched {n + 2} minutes ago",
            ),
            failed("web.fetch", {"url": "timetable.example.org"}, f"504 gateway timeout, ray id: 8d{n}f{n}1"),
        )
    ]
    yield Turn("searches and fetches what cannot be fetched", searched, 6)
    yield Turn(
        "asks for what it may not have, one path after the other",
        [
            failed(
                "files.read",
                {"path": f"/etc/{n}"},
                f"files.read may not touch /etc/{n}: not granted. Add files.read: [/etc/**]",
            )
            for n in ("passwd", "shadow", "hosts", "group", "fstab", "sudoers", "crontab", "profile")
        ],
        8,
    )
    pair = both(("web.search", {"query": "a"}, MOSS), ("web.search", {"query": "b"}, trails))
    yield Turn("the same two searches at once, each time", [pair] * 5, 3)
    flags = ["ls", "ls -l", "ls -la", "ls .", "ls ./", "ls -1", "ls -a .", "ls -l ."]
    yield Turn(
        "lists a folder in all the ways there are",
        [
            step(
                "shell.run",
                {"command": c},
                "total 3 app.py lib.py README.md tests data notes plan todo a b c d e f g h i j k l m n o p q r",
            )
            for c in flags
        ],
        7,
    )
    sorry = [
        "I apologize for the mistake.",
        "Sorry about that, I will correct it.",
        "My apologies, let me fix it.",
        "Sorry.",
    ]
    yield Turn(
        "apologizes and does the same",
        [
            failed("files.edit", {"path": "a.py", "old": "x = 1"}, "the text 'x = 1' is not in a.py", s)
            for s in sorry
        ],
        3,
    )
    one_way = (("files.read", {"path": "a"}, prose("a")), ("files.read", {"path": "b"}, prose("b")))
    log = both(("git.log", {}, prose("log")))
    rounds = [part for n in range(5) for part in (both(*(one_way[::-1] if n % 2 else one_way)), log)]
    yield Turn("a cycle of two that alternates its parallel calls", rounds, 6)
