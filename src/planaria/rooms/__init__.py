"""Rooms: where people, agents and gateways talk. A durable transcript, addressing, one message after the other."""
