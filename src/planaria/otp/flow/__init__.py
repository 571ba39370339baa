"""Demand-driven stages: producers give no more than consumers asked for, so pressure travels upstream. GenStage."""
