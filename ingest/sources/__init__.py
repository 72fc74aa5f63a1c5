"""Where articles come from: files, folders and URLs; what changed since the last ingest."""
