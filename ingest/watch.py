"""Keep an index in step with files and folders as they change."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from watchfiles import Change
from watchfiles import watch as watched_changes

from ingest.content.types import Options
from ingest.pipeline import DEFAULTS, ingest
from ingest.sources.files import is_url
from ingest.updater import Model
from rag.config import Config
from rag.errors import ConfigError, IndexLocked
from rag.schema import IngestReport

GROUPED_MS = 1600
"""Changes within this time lead to one run."""
POLL_MS = 500
"""How long the first run waits until the files are watched, and a run waits while another process writes."""


def watch(
    sources: Sequence[Path | str],
    config: Config,
    report: Callable[[IngestReport | IndexLocked], object],
    options: Options = DEFAULTS,
    stop: threading.Event | None = None,
) -> None:
    """Ingest, and again whenever one of these files and folders changes, until `stop` is set.

    `report` is called with the report of each run; or once with IndexLocked while another process writes, for which
    the run waits. Raises ConfigError for what cannot be watched, else as `ingest` does.
    """
    for source in sources:
        if is_url(str(source)) or not Path(source).exists():
            problem = "is a URL" if is_url(str(source)) else "does not exist"
            raise ConfigError(f"{source} {problem} and cannot be watched; watch a folder, or ingest without --watch")
    model, owed = Model(config.embedding_model), True
    for changed in _changes(sources, config.index, stop, follow_links=options.follow_links):
        if not changed and not owed:
            continue
        try:
            report(ingest(sources, config, options=options, model=model))
            owed = False
        except IndexLocked as error:
            if changed or not owed:
                report(error)
            owed = True


def _changes(
    sources: Sequence[Path | str], index: Path, stop: threading.Event | None, *, follow_links: bool
) -> Iterator[bool]:
    """Whether something outside the index changed, after each change and every POLL_MS.

    The first comes once the files are watched, so that no change during the first run is missed. A file is watched
    through its folder, since saving it may put another file in its place.
    """
    own = index.resolve()
    places = [Path(source).resolve() for source in sources]
    files = [place for place in places if not place.is_dir()]
    folders = [place for place in places if place.is_dir()]

    def matters(_: Change, path: str) -> bool:
        at = Path(path)
        hidden = at.is_relative_to(own) or at.name.startswith(".")
        real = at if follow_links else at.parent.resolve() / at.name
        # The target of a link is watched as well, under the link's name.
        return not hidden and (at in files or any(real.is_relative_to(folder) for folder in folders))

    changes = watched_changes(
        *dict.fromkeys([*folders, *(file.parent for file in files)]),
        watch_filter=matters,
        debounce=GROUPED_MS,
        rust_timeout=POLL_MS,
        yield_on_timeout=True,
        stop_event=stop,
        raise_interrupt=True,
    )
    return (bool(changed) for changed in changes)
