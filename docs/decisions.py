"""Puts every decision of docs/adr/ into the nav, by its number."""

from pathlib import Path


def on_config(config):
    """Called by MkDocs before anything is read."""
    directory = Path(config.docs_dir)
    decisions = sorted(path.relative_to(directory).as_posix() for path in directory.glob("adr/*.md"))
    for entry in config.nav:
        if "Decisions" in entry:
            entry["Decisions"] = decisions
    return config
