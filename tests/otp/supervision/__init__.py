"""Tests of the supervision room."""
