"""The blocking client, against servers that do what they should not."""

import socket
import threading

import pytest

from planaria.cli.client import Client
from planaria.cli.errors import CliError
from planaria.config.lock import private_folder


@pytest.fixture
def serve(tmp_path):
    """Serve one connection on the garden's socket with a function."""
    threads: list[threading.Thread] = []
    listening = socket.socket(socket.AF_UNIX)

    def start(talk):
        listening.bind(str(private_folder(tmp_path) / "control.sock"))
        listening.listen()

        def run():
            connection, _ = listening.accept()
            with connection:
                connection.recv(1 << 16)  # the request
                talk(connection)

        threads.append(threading.Thread(target=run))
        threads[0].start()
        return Client(tmp_path)

    yield start
    for thread in threads:
        thread.join(10)
    listening.close()


def test_an_answer_in_pieces_is_put_together(serve):
    def talk(connection):
        for piece in (b'{"id": 1,', b' "res', b'ult": "', "wörm".encode()[:2], "wörm".encode()[2:], b'"}\n'):
            connection.sendall(piece)

    with serve(talk) as client:
        assert client.ask("x") == "wörm"


def test_answers_to_others_are_passed_over(serve):
    with serve(
        lambda c: c.sendall(b'{"id": 9, "result": 0}\n{"id": 1, "event": 1}\n{"id": 1, "result": 2}\n')
    ) as client:
        assert client.ask("x") == 2


def test_a_stream_ends_with_its_result(serve):
    with serve(
        lambda c: c.sendall(b'{"id": 1, "event": 1}\n{"id": 1, "event": 2}\n{"id": 1, "result": null}\n')
    ) as client:
        assert list(client.follow("x")) == [1, 2]


def test_a_node_that_goes_away_is_said(serve):
    with (
        serve(lambda c: None) as client,
        pytest.raises(CliError, match="closed the connection") as said,
    ):
        client.ask("x")
    assert said.value.exit_code == 7


def test_a_node_that_says_nothing_is_said(serve):
    ended = threading.Event()
    with serve(lambda c: ended.wait(10)) as client, pytest.raises(CliError, match=r"within 0\.01 s") as said:
        client.ask("x", within=0.01)
    ended.set()
    assert said.value.exit_code == 7


def test_nonsense_is_said(serve):
    with serve(lambda c: c.sendall(b"<html>\n")) as client, pytest.raises(CliError, match="something else"):
        client.ask("x")


def test_a_fault_carries_its_mend(serve):
    line = b'{"id": 1, "error": {"code": "refused", "message": "no", "mend": "ask later"}}\n'
    with serve(lambda c: c.sendall(line)) as client, pytest.raises(CliError) as said:
        client.ask("x")
    assert (said.value.exit_code, said.value.message, said.value.mend) == (6, "no", "ask later")


def test_a_socket_nobody_listens_on_is_no_node(tmp_path):
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(private_folder(tmp_path) / "control.sock"))
    left.close()
    with pytest.raises(CliError) as said:
        Client(tmp_path)
    assert said.value.exit_code == 4
