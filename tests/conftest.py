"""What all tests share: the fixture `node`, a running node with virtual time and a seeded schedule."""

pytest_plugins = ["planaria.testing.plugin"]
