"""Read the bytes of a source within limits: shared types, encodings, archives, values; knows no article format."""
