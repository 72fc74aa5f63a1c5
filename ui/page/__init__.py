"""The Gradio page: a module a view, components and events only."""
