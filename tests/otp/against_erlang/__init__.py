"""Random cases run through a real Erlang and compared: trees with the model of the rules, groups with the kernel.

    python -m tests.otp.against_erlang trees --cases 80 --seed 1
    python -m tests.otp.against_erlang groups --cases 100 --seed 1

For those who change the model or `servers/pg.py`; needs `erl` and `erlc` (Debian: erlang-base). Not part of the test
suite: Erlang's clock is the wall's, so a machine under load may be too slow for it. Exit code 1 if any case differs.
"""
