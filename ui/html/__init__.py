"""HTML of the page and of reports, from Jinja templates. `templating` is the only place where text is escaped."""
