"""Tests of the kernel's room."""
