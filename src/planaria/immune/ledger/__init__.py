"""Money, tokens and time: accounts, budgets, reservations, and the process that keeps them."""
