"""What tests use, ours and users': scripted models, servers to talk to, a virtual clock."""
