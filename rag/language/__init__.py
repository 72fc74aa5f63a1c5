"""What the words of questions and sentences mean: answer types, facts, dates, sources. Knows no index and no model."""
