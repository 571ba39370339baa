import copy
import pickle
import traceback

import pytest

from planaria.config.secret import Secret


def test_a_secret_does_not_show_itself():
    secret = Secret("sk-moss")
    assert "moss" not in f"{secret} {secret!r} {secret:>20} {[secret]} {'%s' % secret}"  # noqa: UP031


def test_a_secret_is_not_pickled():
    with pytest.raises(TypeError, match="environment variable"):
        pickle.dumps(Secret("sk-moss"))
    with pytest.raises(TypeError):
        copy.deepcopy(Secret("sk-moss"))


def test_blanks_around_a_key_are_dropped():
    assert Secret(" sk-moss\n").reveal() == "sk-moss"


def test_secrets_compare_by_text_and_only_with_secrets():
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1


def test_words_from_outside_are_scrubbed():
    assert Secret("sk-moss").scrub("your key sk-moss is wrong") == "your key *** is wrong"
    assert Secret("").scrub("text") == "text"
    assert not Secret("  ")


def test_a_traceback_does_not_show_it():
    secret = Secret("sk-moss")
    with pytest.raises(ValueError, match="Secret") as caught:
        raise ValueError(secret)
    assert "moss" not in "".join(traceback.format_exception_only(caught.value))
