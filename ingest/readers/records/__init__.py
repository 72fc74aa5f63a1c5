"""Readers of records: JSON, JSON Lines, CSV and Parquet."""
