"""How quantised weights are stored, a file each: what `quant_method` names, from what is stored to plain weights."""
