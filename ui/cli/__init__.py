"""The `pullquote` command: a module a group of commands."""
