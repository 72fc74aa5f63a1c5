"""What the page and the HTTP API do, without Gradio and without HTML."""
