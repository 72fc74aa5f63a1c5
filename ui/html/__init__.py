"""HTML of the page and of reports. `elements` is the only place where text is escaped."""
