"""Nerves, what people look at and talk through: views of a running node, the dashboard, the control socket."""
