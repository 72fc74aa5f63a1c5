"""Exports of publishing systems; today Substack's list of posts, which `ingest.sources` reads beside the pages."""
