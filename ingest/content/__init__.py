"""Bytes of a source, within limits: types, encodings, archives, plain values. Knows no format of articles."""
