"""How the packaged numbers are fitted."""
