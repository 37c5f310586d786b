"""An adapter and its base as one ordinary checkpoint."""

import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

from depthgauge.core.errors import InvalidCheckpoint
from depthgauge.models.files import ADAPTER, ADAPTER_WEIGHTS, files_read, has_tokenizer, tokenizer_files
from depthgauge.models.header import read_header
from depthgauge.models.load import prepare_libraries, threads_for
from depthgauge.models.settings import auto_class, configuration, reason

EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "embed_in.weight", "word_embeddings.weight", "lm_head.weight")


def merge_adapter(adapter: Path, base: Path, into: Path) -> None:
    """Write the base with a peft adapter merged in, in the base's own dtype; the adapter's tokenizer, if it has one.

    A base whose vocabulary the training enlarged is enlarged first, to the embeddings that the adapter saved.

    Raises: InvalidCheckpoint if peft cannot apply it.
    """
    prepare_libraries(threads_for(base))
    from peft import PeftModel

    with tempfile.TemporaryDirectory() as alone:
        try:
            model = auto_class(configuration(base)).from_pretrained(
                without_adapter(base, Path(alone)), dtype="auto", use_safetensors=True, trust_remote_code=False
            )
            enlarge(model, adapter)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what is missing, which is refused below
                adapted = PeftModel.from_pretrained(model, adapter)
            check_whole(adapted, adapter)
            adapted.merge_and_unload().save_pretrained(into)
        except InvalidCheckpoint:
            raise
        except Exception as error:  # whatever peft and transformers raise, the adapter is at fault
            raise InvalidCheckpoint(
                f"the adapter {adapter} cannot be merged into {base}: {reason(error)}", code="not-mergeable"
            ) from error
    owner = adapter if has_tokenizer(adapter) else base
    for path in tokenizer_files(owner):
        place = into / path.relative_to(owner)
        place.parent.mkdir(exist_ok=True)
        shutil.copy(path, place)


def check_whole(adapted: Any, adapter: Path) -> None:
    """Raises: InvalidCheckpoint for an adapter that is none of weights, or of which peft leaves weights out without an
    error: those that its file lacks are drawn at random, and those of other names are dropped.
    """
    kind = adapted.active_peft_config
    if kind.is_prompt_learning:
        raise InvalidCheckpoint(
            f"the adapter {adapter} is of {kind.peft_type.value}, whose virtual tokens cannot be merged into weights: "
            "compare the model that it belongs to, or an adapter of weights, such as LoRA.",
            code="not-mergeable",
        )
    loaded = adapted.load_adapter(adapter, adapted.active_adapter)
    for names, what in (
        (loaded.missing_keys, "lacks"),
        (loaded.unexpected_keys, "has, and its base has no place for,"),
    ):
        if names:
            raise InvalidCheckpoint(
                f"the adapter {adapter} {what} {names[0]} ({len(names)} in all), so that peft would leave it out "
                "without an error: save it again with the library and the base that it was trained with."
            )


def without_adapter(base: Path, place: Path) -> Path:
    """The base itself; of one that holds an adapter beside its weights, links to all but the adapter."""
    if not (base / ADAPTER).is_file():
        return base
    for path in files_read(base):
        if path.name not in (ADAPTER, ADAPTER_WEIGHTS) and path.parent == base:
            (place / path.name).symlink_to(path.resolve())
    return place


def enlarge(model: Any, adapter: Path) -> None:
    """Resize a model's vocabulary to the embeddings in an adapter's file, which a training with new tokens saves."""
    entries = read_header(adapter / ADAPTER_WEIGHTS).entries
    rows = {int(entry["shape"][0]) for name, entry in entries.items() if name.endswith(EMBEDDINGS)}
    if len(rows) == 1 and rows != {model.get_input_embeddings().weight.shape[0]}:
        model.resize_token_embeddings(rows.pop(), mean_resizing=False)
