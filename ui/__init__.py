"""The faces: the chat in the browser, the commands in the terminal."""
