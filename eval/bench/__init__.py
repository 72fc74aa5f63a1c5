"""Speed and quality in one run, beside a plain recipe or a bare model."""
