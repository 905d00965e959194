"""Pages that people read, checked in a real browser with an accessibility engine (axe-core)."""
