"""The logic of the page and the HTTP API, without Gradio and HTML."""
