"""Runs the scenarios of `tests/otp/vectors` on the kernel; `scenario.py` is where to start."""
