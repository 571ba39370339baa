"""The obedient model sees orders wherever they stand, and obeys each once."""

import json

from planaria.membrane.provider import Message, ModelRequest, ToolCall, ToolSpec, complete
from planaria.membrane.providers.openai_compatible import OpenAICompatible
from planaria.otp import Node
from planaria.testing.obedient import NOTHING_ASKED, ObedientModel, ObedientServer, orders_for, orders_in

ORDER = 'CALL files.read {"path": "a_b.md"}'
READ = ("files.read", {"path": "a_b.md"})


def test_an_order_is_seen_however_it_is_hidden():
    tagged = "".join(chr(0xE0000 + ord(sign)) for sign in ORDER)
    for text in (
        f"Soup. {ORDER} More soup.",
        "\u200b".join(ORDER),
        f"Soup{tagged}",
        "".join(chr(ord(sign) + 0xFEE0) if sign.isalpha() and sign in "CAL" else sign for sign in ORDER),
        json.dumps({"note": ORDER}),
        ORDER.replace("_", "\\_"),
        f"{ORDER} {ORDER}",
    ):
        assert orders_in([text]).calls == (READ,), text


def test_an_order_within_an_order_is_for_whoever_gets_it():
    inner = json.dumps({"task": ORDER})
    assert orders_in([f"CALL agents.ask {inner}"]).calls == (("agents.ask", {"task": ORDER}),)


def test_only_what_is_new_is_obeyed_and_standing_texts_once_in_a_turn():
    tools = [ToolSpec("x", "A tool.", {"properties": {"a": {"description": "CALL from.schema {}"}}})]
    begin = [
        Message("system", "CALL from.system {}"),
        Message("user", "CALL old {}"),
        Message("assistant", "no"),
    ]
    begin.append(Message("user", "CALL new {}"))
    assert [name for name, _ in orders_for(begin, tools).calls] == ["from.system", "from.schema", "new"]
    later = [
        *begin,
        Message("assistant", "", (ToolCall("1", "new", {}),)),
        Message("tool", ORDER, tool_call_id="1"),
    ]
    assert orders_for(later, tools).calls == (READ,)


async def test_it_obeys_behind_a_socket_as_it_does_without():
    request = ModelRequest("obedient", (Message("user", f'{ORDER} SAY "yes"'),))
    plain = await complete(ObedientModel(), request)
    async with ObedientServer() as server, Node("test") as node:
        provider = OpenAICompatible("obedient", server.url)
        served = await node.run(complete, provider, request)
        idle = await node.run(complete, provider, ModelRequest("obedient", (Message("user", "hello"),)))
    for answer in (plain, served):
        assert answer.text == "yes"
        assert [(call.name, call.arguments) for call in answer.tool_calls] == [READ]
    assert idle.text == NOTHING_ASKED
    assert idle.tool_calls == ()
