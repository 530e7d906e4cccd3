"""Fields of nets in a config: of `model`, which is pretrained, and of what each method adds."""

from ml_collections import ConfigDict


def model(task: str, family: str) -> ConfigDict:
    """The fields of the net that a task pretrains, and a transformer's family."""
    if task == "transformer":
        return _maskgit() if family == "nar" else _gpt()
    return {"tokenizer": _vqgan, "gan": _biggan, "classifier": _classifier}[task]()


def of_method(method: str) -> ConfigDict | None:
    """The fields that a method has for itself; None where it has none."""
    parts = {
        "prompts": _prompt,
        "deep_prompts": _deep_prompts,
        "lora": _lora,
        "adapters": _adapters,
        "minegan": _minegan,
        "cgantransfer": _cgantransfer,
    }
    return parts[method]() if method in parts else None


def _vqgan() -> ConfigDict:
    # nets/vqgan.py; MaskGIT's at 256 px.
    model = ConfigDict()
    model.filters = 128
    model.channel_multipliers = (1, 1, 2, 2, 4)
    model.num_res_blocks = 2
    model.embedding_dim = 256
    model.codebook_size = 1024
    return model


def _biggan() -> ConfigDict:
    # nets/biggan.py; BigGAN's at 128 px. Resolution and classes follow from the data.
    model = ConfigDict()
    # Widths of the nets are multiples of these.
    model.generator_channels = 96
    model.discriminator_channels = 96
    model.z_size = 120
    model.shared_size = 128
    # Resolutions with self-attention.
    model.generator_attention = (64,)
    model.discriminator_attention = (64,)
    # Whether each block gets a part of the latent of its own, and whether normalisations share one
    # embedding of the class.
    model.hierarchical = True
    model.shared = True
    model.bn_epsilon = 1e-5
    model.sn_epsilon = 1e-6
    return model


def _classifier() -> ConfigDict:
    # nets/classifier.py.
    return ConfigDict({"widths": (32, 64, 128, 256), "blocks_per_stage": 1})


def _maskgit() -> ConfigDict:
    # nets/maskgit.py; the class count and the number of tokens follow from data and tokenizer.
    model = ConfigDict()
    model.num_layers = 24
    model.hidden_size = 768
    model.num_heads = 16
    model.intermediate_size = 3072
    model.dropout_rate = 0.1
    # Share of examples trained without their class.
    model.class_dropout = 0.1
    return model


def _gpt() -> ConfigDict:
    # nets/gpt.py; the paper's autoregressive transformer. The codebook and the number of
    # positions follow from the tokenizer.
    model = ConfigDict()
    model.num_layers = 24
    model.hidden_size = 1024
    model.num_heads = 16
    model.intermediate_size = 4096
    model.dropout_rate = 0.1
    return model


def _prompt() -> ConfigDict:
    # nets/prompt_generator.py; feature_size 0 is the transformer's width, without a projection.
    prompt = ConfigDict()
    prompt.num_prompt_tokens = 32
    prompt.feature_size = 0
    prompt.dropout_rate = 0.1
    # What prompts are for: 'class', 'instance' (a training image), or 'class+instance'.
    prompt.condition = "class"
    # 'additive' as released, 'factorised' with num_factors, or 'full'.
    prompt.design = "additive"
    prompt.num_factors = 1
    # With 'class+instance': share of examples trained on the class alone.
    prompt.instance_dropout = 0.5
    return prompt


def _deep_prompts() -> ConfigDict:
    # methods/deep_prompts.py: keys and values a layer.
    return ConfigDict({"num_prompt_tokens": 16})


def _lora() -> ConfigDict:
    # methods/lora.py; the paper's choice for GPT-2: queries and values, rank 4, alpha 32.
    lora = ConfigDict()
    lora.rank = 4
    # The update is scaled by alpha / rank.
    lora.alpha = 32.0
    # Of each layer: 'query', 'key', 'value', 'out' (of attention), 'mlp_in', 'mlp_out'.
    lora.matrices = ("query", "value")
    return lora


def _adapters() -> ConfigDict:
    # methods/adapters.py: width of the bottlenecks (the paper: 8 to 256).
    return ConfigDict({"size": 64})


def _minegan() -> ConfigDict:
    # methods/minegan.py: updates in which the miner trains and the generator does not (as
    # released).
    return ConfigDict({"miner_steps": 299})


def _cgantransfer() -> ConfigDict:
    # methods/cgantransfer.py. The release has the penalties, and no numbers of updates.
    transfer = ConfigDict()
    # Updates of the new classes' normalisations, before the rest of the generator trains.
    transfer.norm_steps = 500
    # Cost of the scores' mean absolute values, and of the residuals' mean squares.
    transfer.scores_l1 = 0.01
    transfer.residuals_l2 = 0.1
    return transfer
