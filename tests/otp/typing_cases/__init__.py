"""Files that hold type errors on purpose; see `tests/otp/test_typing.py`."""
