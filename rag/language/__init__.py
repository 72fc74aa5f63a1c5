"""The words of a question or a sentence: what they ask for, name, date and deny. Knows no index and no model."""
