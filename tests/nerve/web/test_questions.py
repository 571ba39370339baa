"""What waits for a person: questions, dead letters, and the sign that there are some."""

from planaria.cortex.durable.dead import Dead
from planaria.cortex.durable.letters import letter
from planaria.cortex.durable.questions import Questions
from planaria.cortex.journal import Journal
from tests.nerve.web.garden import Visit, read_until, visiting

EVIL = '"><script>alert(1)</script>'


async def ask(
    visit: Visit, text: str = "Deploy now?", options: tuple[str, ...] = ("yes", "no"), key: str = "k"
) -> str:
    async def asking() -> str:
        return await Questions.ask(
            text, key=key, by="agent:scout", options=options, room="garden", trace_id="T"
        )

    asked: str = await visit.node.run(asking)
    return asked


async def give_up(visit: Visit, reason: str = "no answer", evidence: str = "nothing") -> None:
    given = letter("room.message", reason, target="room:garden/M/scout", evidence={"said": evidence})
    await Journal.append(visit.node["journal"], [given.new(trace_id="T")])


async def test_a_question_is_answered_with_an_option_and_a_remark(tmp_path):
    async with visiting(tmp_path) as visit:
        asked = await ask(visit)
        html = (await visit.get("/questions")).text
        assert "Deploy now?" in html
        assert 'value="yes"' in html
        answer = await visit.post(f"/questions/{asked}/answer", option="yes", text="on Monday")
        assert "Answered #1: yes: on Monday" in answer.text
        (closed,) = await Questions.recent(visit.node["questions"])
        assert (closed.option, closed.text, closed.by, closed.via) == ("yes", "on Monday", "you", "dashboard")
        assert "Nobody waits for an answer." in (await visit.get("/questions")).text


async def test_an_answer_that_does_not_fit_is_told_what_does(tmp_path):
    async with visiting(tmp_path) as visit:
        asked = await ask(visit)
        assert "#1 takes: 1 yes, 2 no" in (await visit.post(f"/questions/{asked}/answer", text="maybe")).text
        await visit.post(f"/questions/{asked}/answer", option="no")
        again = await visit.post(f"/questions/{asked}/answer", option="yes")
        assert "Not answered" in again.text
        assert len(await Questions.recent(visit.node["questions"])) == 1


async def test_a_question_without_options_takes_any_text(tmp_path):
    async with visiting(tmp_path) as visit:
        asked = await ask(visit, "What is it called?", ())
        assert 'type="radio"' not in (await visit.get("/questions")).text
        assert "Answered #1: fern" in (await visit.post(f"/questions/{asked}/answer", text="fern")).text


async def test_what_waits_is_told_on_every_page_and_appears_by_itself(tmp_path):
    async with visiting(tmp_path) as visit:
        assert "wait for you" not in (await visit.get("/notes")).text
        async with visit.stream("/live/overview") as pieces:
            await read_until(pieces, "is well")
            await ask(visit)
            await give_up(visit)
            await read_until(pieces, "1 question and 1 dead letter wait for you")
        assert "2 wait for you" in (await visit.get("/notes")).text


async def test_a_new_question_does_not_touch_the_form_of_another(tmp_path):
    async with visiting(tmp_path) as visit:
        await ask(visit)
        async with visit.stream("/live/questions") as pieces:
            await read_until(pieces, "Deploy now?")
            await ask(visit, "And this?", key="other")
            assert "And this?" in await read_until(pieces, "And this?")


async def test_a_dead_letter_is_looked_at_and_done_again(tmp_path):
    async with visiting(tmp_path) as visit:
        await give_up(visit, "the model was away", "what grew?")
        assert "the model was away" in (await visit.get("/dead")).text
        html = (await visit.get("/dead/1")).text
        for text in ("room:garden/M/scout", "what grew?", "Do it again", "Drop…", 'href="/traces/T"'):
            assert text in html
        assert "It is done again" in (await visit.post("/dead/1/replay")).text
        (found,) = await Dead.letters(visit.node["dead"], True)
        assert (found.state, found.by) == ("replayed", "you")
        html = (await visit.get("/dead/1")).text
        assert "Do it again" not in html
        assert "replayed already" in (await visit.post("/dead/1/drop")).text


async def test_a_dead_letter_is_dropped(tmp_path):
    async with visiting(tmp_path) as visit:
        await give_up(visit)
        assert "Dropped." in (await visit.post("/dead/1/drop")).text
        assert await Dead.count(visit.node["dead"]) == 0
        assert (await visit.get("/dead/7")).status_code == 404


async def test_what_others_wrote_is_text(tmp_path):
    async with visiting(tmp_path) as visit:
        await ask(visit, EVIL, (EVIL,))
        await give_up(visit, EVIL, EVIL)
        for path in ("/questions", "/dead", "/dead/1"):
            html = (await visit.get(path)).text
            assert "<script>alert" not in html
            assert "alert(1)" in html


async def test_buttons_take_no_order_from_elsewhere(tmp_path):
    async with visiting(tmp_path) as visit:
        await give_up(visit)
        answer = await visit.client.post(
            visit.url + "/dead/1/drop", headers={"Origin": "http://evil.example"}
        )
        assert answer.status_code == 403
        assert await Dead.count(visit.node["dead"]) == 1
