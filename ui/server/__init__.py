"""The page on an address: routes, accounts, limits, sessions."""
