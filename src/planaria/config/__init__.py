"""Settings a node needs to boot, read from `planaria.toml`, checked and typed."""
