"""The interfaces: the page in the browser, the HTTP API, the commands in the terminal."""
