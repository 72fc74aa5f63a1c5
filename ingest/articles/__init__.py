"""Make an article of what a reader extracted: typed fields, passages, near duplicates, notices."""
