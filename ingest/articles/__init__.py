"""What a reader found → an article with typed fields, its passages, and its near duplicates."""
