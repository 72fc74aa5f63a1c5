"""The Gradio page: components and event handlers, one module a view."""
