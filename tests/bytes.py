"""A language model over bytes: any text is tokens to it, and a run of all suites of change takes seconds."""

from pathlib import Path

CONTEXT = 1024


def save_byte_model(folder: Path, *, seed: int = 0, layers: int = 3, letters: str = "") -> Path:
    """A random Llama of `layers` blocks with a tokenizer of bytes; `letters` swaps two, for another one."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: i for i, symbol in enumerate(symbols)} | {"<end>": len(symbols)}
    if letters:
        one, other = letters
        vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=CONTEXT, tie_word_embeddings=True,
        eos_token_id=len(symbols), bos_token_id=None, pad_token_id=len(symbols), initializer_range=0.3,
    )  # fmt: skip
    torch.manual_seed(seed)
    LlamaForCausalLM(config).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>").save_pretrained(folder)
    return folder
