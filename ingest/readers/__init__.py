"""Readers, one a format: content → articles. `registry` lists them; `sandbox` isolates the risky ones."""
