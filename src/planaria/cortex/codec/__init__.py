"""From what a process appends to the bytes a store keeps, and back: checks, packing, sealing, contents, the chain."""
