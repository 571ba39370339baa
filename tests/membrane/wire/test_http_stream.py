"""The client against hostile and clumsy servers, on a real socket."""

import asyncio
import shutil
import ssl
import subprocess

import pytest

from planaria.membrane.errors import BadAnswer, StreamCut, TimedOut, Unreachable
from planaria.membrane.wire.address import parse_address
from planaria.membrane.wire.http_stream import HttpClient, Limits
from planaria.testing.model_server import Answer, ModelServer

HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
async def server():
    async with ModelServer() as server:
        yield server


@pytest.fixture
def client(server):
    client = HttpClient(
        parse_address(server.url), Limits(first_byte=5.0, between_bytes=5.0, head=4096, body=100_000)
    )
    yield client
    client.close()


async def post(client: HttpClient) -> tuple[int, bytes]:
    async with client.request("POST", "/chat/completions", {}, b"{}") as response:
        return response.status, await response.read_all(10_000_000)


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
@pytest.mark.parametrize("split", [None, 1, 7])
async def test_a_body_is_read_however_it_is_framed_and_split(server, client, framing, split):
    server.answers.append(Answer("x", events=("one", "two"), framing=framing, split=split))
    assert await post(client) == (200, b"data: one\n\ndata: two\n\n")


async def test_a_connection_serves_the_next_call(server, client):
    for _ in range(3):
        await post(client)
    assert server.connections == 1


async def test_a_connection_the_server_closed_is_not_used_again(server, client):
    server.answers.append(Answer("x", framing="close"))
    await post(client)
    await post(client)
    assert server.connections == 2


async def test_an_answer_left_early_frees_its_connection(server, client):
    server.answers.append(Answer("a b c d", hold_at=2))
    async with client.request("POST", "/chat/completions", {}, b"{}") as response:
        await response.read_some()
    await server.left()
    assert server.dropped == 1
    await post(client)
    assert server.connections == 2


async def test_informational_answers_are_passed_over(server, client):
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n"
    server.answers.append(Answer(raw=early + HEAD + b"content-length: 2\r\n\r\nok"))
    assert await post(client) == (200, b"ok")


async def test_bytes_after_the_answer_are_ignored_and_the_connection_dropped(server, client):
    server.answers.append(
        Answer(raw=HEAD + b"content-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
    )
    assert await post(client) == (200, b"ok")
    assert await post(client) != (200, b"evil")
    assert server.connections == 2


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", StreamCut),
        (b"HTTP/1.1 2", StreamCut),
        (HEAD + b"content-length: 10\r\n\r\nhalf", StreamCut),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nab", StreamCut),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n", StreamCut),
        (HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n", BadAnswer),
        (b"SSH-2.0-OpenSSH_9.2\r\n", BadAnswer),
        (b"\x15\x03\x01\x00\x02\x02\x16", BadAnswer),
        (HEAD + b"content-length: -1\r\n\r\n", BadAnswer),
        (HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\nxx", BadAnswer),
        (HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\nxx", BadAnswer),
        (HEAD + b"content-encoding: gzip\r\ncontent-length: 2\r\n\r\nxx", BadAnswer),
        (HEAD + b"x: " + b"y" * 10_000, BadAnswer),
        (HEAD + b"x: y\r\n" * 3000 + b"\r\n", BadAnswer),
    ],
)
async def test_a_broken_server_gets_a_clear_error(server, client, raw, error):
    server.answers.append(Answer(raw=raw))
    with pytest.raises(error, match=r"127\.0\.0\.1"):
        await post(client)


@pytest.mark.parametrize("framing", ["chunked", "close"])
async def test_an_endless_body_is_cut_off(server, client, framing):
    server.answers.append(Answer(endless=b"x" * 4096, framing=framing))
    with pytest.raises(BadAnswer, match="more than 100000 bytes"):
        await post(client)


async def test_a_silent_server_times_out_before_and_inside_its_answer(server):
    client = HttpClient(parse_address(server.url), Limits(first_byte=0.01, between_bytes=0.01))
    server.answers.append(Answer("a b c", hold_at=3))
    with pytest.raises(TimedOut, match="middle") as caught:
        await post(client)
    assert caught.value.retry
    server.answers.append(Answer(raw=b"HTTP/1.1 200 OK\r\nx: y\r\n"))
    with pytest.raises((TimedOut, StreamCut)):
        await post(client)


async def test_nothing_listening_is_told_plainly(server):
    address = parse_address(server.url)
    await server.__aexit__()
    with pytest.raises(Unreachable, match="nothing listens there") as caught:
        await post(HttpClient(address))
    assert caught.value.retry


async def test_a_plain_server_asked_for_tls_is_told_plainly():
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    client = HttpClient(parse_address(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    with pytest.raises(Unreachable, match="does not speak TLS") as caught:
        await post(client)
    assert not caught.value.retry
    server.close()
    await server.wait_closed()


def test_a_line_break_in_a_header_is_refused():
    client = HttpClient(parse_address("http://127.0.0.1:1"))
    with pytest.raises(ValueError, match="authorization"):
        client.request("GET", "/", {"authorization": "Bearer a\r\nx-evil: 1"})


# --- TLS ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for this machine, of nobody's authority."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    made, key = folder / "cert.pem", folder / "key.pem"
    ask = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", made]
    subprocess.run([*ask.split(), *names], check=True, capture_output=True)
    return made, key


@pytest.fixture
async def secure_address(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n{}")
                writer.write(HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    yield parse_address(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    server.close()
    await server.wait_closed()


@pytest.mark.subprocess
async def test_a_trusted_server_is_read_over_tls_again_and_again(secure_address, certificate):
    client = HttpClient(secure_address, tls=ssl.create_default_context(cafile=str(certificate[0])))
    for _ in range(3):
        assert await post(client) == (200, b"hello")
    assert len(client._resting) == 1
    client.close()


@pytest.mark.subprocess
async def test_a_server_nobody_vouches_for_is_not_trusted(secure_address):
    with pytest.raises(Unreachable, match="SSL_CERT_FILE") as caught:
        await post(HttpClient(secure_address))
    assert not caught.value.retry
