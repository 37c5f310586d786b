"""An adapter and its base as one ordinary checkpoint."""

import shutil
from pathlib import Path

from depthgauge.core.errors import InvalidCheckpoint
from depthgauge.models.files import TOKENIZER
from depthgauge.models.load import prepare_libraries, threads_for

TOKENIZER_FILES = (TOKENIZER, "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


def merge_adapter(adapter: Path, base: Path, into: Path) -> None:
    """Write the base with a peft adapter merged in, in the base's own dtype; the adapter's tokenizer, if it has one.

    Raises: InvalidCheckpoint if peft cannot apply it.
    """
    prepare_libraries(threads_for(base))
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    try:
        model = AutoModelForCausalLM.from_pretrained(base, dtype="auto", use_safetensors=True, trust_remote_code=False)
        PeftModel.from_pretrained(model, adapter).merge_and_unload().save_pretrained(into)
    except Exception as error:  # whatever peft and transformers raise, the adapter is at fault
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InvalidCheckpoint(f"the adapter {adapter} cannot be merged into {base}: {first}") from error
    for name in TOKENIZER_FILES:
        owner = adapter if (adapter / TOKENIZER).is_file() else base
        if (owner / name).is_file():
            shutil.copy(owner / name, into / name)
