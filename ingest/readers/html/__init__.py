"""Reader of web pages, and markup → plain text for the other readers."""
