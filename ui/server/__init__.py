"""Serving the page: routes, accounts, rate limits, sessions."""
