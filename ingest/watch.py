"""Keep an index in step with files and folders as they change."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from watchfiles import Change
from watchfiles import watch as changes

from ingest.content.types import Options
from ingest.pipeline import DEFAULTS, ingest
from ingest.sources.files import is_url
from ingest.updater import Model
from rag.config import Config
from rag.errors import ConfigError, IndexLocked
from rag.schema import IngestReport

GROUPED_MS = 1600
"""Changes within so long are taken together."""
LOOK_MS = 500
"""How long the first run waits until the files are watched, and the next one while another process writes."""


def watch(
    sources: Sequence[Path | str],
    config: Config,
    told: Callable[[IngestReport | IndexLocked], object],
    options: Options = DEFAULTS,
    stop: threading.Event | None = None,
) -> None:
    """Ingest, and again whenever one of these files and folders changes, until `stop` is set.

    `told` is given the report of each run; or that another process is writing, once, in which case it waits for that
    one to end. Raises ConfigError for what cannot be watched, else as `ingest` does.
    """
    for source in sources:
        if is_url(str(source)) or not Path(source).exists():
            what = "is a URL" if is_url(str(source)) else "does not exist"
            raise ConfigError(f"{source} {what} and cannot be watched; watch a folder, or run without --watch at times")
    model, owed = Model(config.embedding_model), True
    for changed in _moments(sources, config.index, stop, follow_links=options.follow_links):
        if not changed and not owed:
            continue
        try:
            told(ingest(sources, config, options=options, model=model))
            owed = False
        except IndexLocked as error:
            if changed or not owed:
                told(error)
            owed = True


def _moments(
    sources: Sequence[Path | str], index: Path, stop: threading.Event | None, *, follow_links: bool
) -> Iterator[bool]:
    """Every now and then whether something changed that is not of the index itself.

    The first one comes when the files are being watched: what changes while they are ingested is ingested after that.
    A file is watched through its folder, since whoever saves it may put another one in its place.
    """
    own = index.resolve()
    places = [Path(source).resolve() for source in sources]
    files = [place for place in places if not place.is_dir()]
    folders = [place for place in places if place.is_dir()]

    def matters(_: Change, path: str) -> bool:
        at = Path(path)
        hidden = at.is_relative_to(own) or at.name.startswith(".")
        real = at if follow_links else at.parent.resolve() / at.name
        # What a link leads to is watched as well, under the link's name.
        return not hidden and (at in files or any(real.is_relative_to(folder) for folder in folders))

    seen = changes(
        *dict.fromkeys([*folders, *(file.parent for file in files)]),
        watch_filter=matters,
        debounce=GROUPED_MS,
        rust_timeout=LOOK_MS,
        yield_on_timeout=True,
        stop_event=stop,
        raise_interrupt=True,
    )
    return (bool(changed) for changed in seen)
