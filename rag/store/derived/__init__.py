"""Indexes derived from the catalogue, and built again from it: vectors, columns for filters, and words."""
