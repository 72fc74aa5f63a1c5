"""Readers of exports: publishing systems, press databases, read-later services."""
