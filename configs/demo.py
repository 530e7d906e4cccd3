"""Prompt tuning of the shipped source model (grey drawings, 32x32) to handwritten digits.

bash launch/demo.sh
"""

from vpt_gen.config import default_config


def get_config():
    config = default_config("prompts")
    config.num_steps = 900
    config.batch_size = 32
    config.eval_every = 300
    config.checkpoint_every = 100

    config.data.kind = "digits"
    config.data.holdout = 0.2
    config.data.image_size = 32
    # No flips: a mirrored digit is another sign.

    config.backbone.tokenizer = "vpt_gen/assets/demo/tokenizer"
    config.backbone.transformer = "vpt_gen/assets/demo/transformer"
    # Ten classes are few: prompts of their own cost little, and say far more than a shared sum.
    config.prompt.design = "full"
    config.prompt.num_prompt_tokens = 16
    config.prompt.dropout_rate = 0.0
    # As the source was trained, see configs/source_transformer.py.
    config.label_smoothing = 0.0

    config.optimizer.learning_rate = 1e-2
    config.decode.num_iterations = 12
    # Little noise in the choice: a digit's class counts for more here than its variety.
    config.decode.choice_temperature = 1.0

    config.evaluation.num_samples = 500
    return config
