"""What lets a GRPO trainer compute in float64, twice differentiably, and for a graded reward."""

import torch


def plain_norm(self, x):
    """RMSNorm without its cast to float32."""
    return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)


def plain_logps(self, model, input_ids, attention_mask, logits_to_keep, **_):
    """TRL's log-probabilities without its fused head."""
    logits = model(input_ids=input_ids, attention_mask=attention_mask).logits[:, -logits_to_keep - 1 : -1]
    logps = torch.log_softmax(logits / self.temperature, -1)
    chosen = logps.gather(-1, input_ids[:, -logits_to_keep:, None])[..., 0]
    return chosen, -(logps.exp() * logps).sum(-1).detach(), None


def alphabetical(completions, **_):
    """A graded reward in closed form, so that hardly any group agrees: the mean place in the alphabet."""
    return [sum(map(ord, said.strip() or "a")) / max(1, len(said.strip())) - ord("a") for said in completions]
