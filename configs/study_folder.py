"""Every way to adapt the shipped source models, on your own folder of images.

  python -m vpt_gen.study --config=configs/study_folder.py \
    --config.datasets.mine.set.data.path=my_images

One sub-folder a class. A fifth of each class is held out to measure with, and a fifth of the rest
chooses learning rates: ten images a class are enough to start, more make better figures. Leave
variants out by --only, or write a file of your own like this one. Transformers draw in color at
64x64; the two GANs start from the demo's BigGAN, which draws grey pictures of 32x32.
"""

from vpt_gen.study.config import (
    dataset,
    default_study,
    in_order,
    variant,
)


def get_config():
    study = default_study()
    study.title = "My images: every method"
    names = ("scratch", "finetune", "norm_bias", "lora", "adapters", "deep_prompts")
    study.variants = in_order(
        **{name: variant(name) for name in (*names, "class_embedding")},
        # Decoded like the others, which guidance is not for.
        prompts=variant("prompts", set={"decode": {"decoder": "confidence", "guidance": 0.0}}),
        # The first third of a GAN's run is its first stage.
        minegan=variant("minegan", shares={"minegan": {"miner_steps": 1 / 3}}, keep_best=True),
        cgantransfer=variant(
            "cgantransfer", shares={"cgantransfer": {"norm_steps": 1 / 3}}, keep_best=True
        ),
    )
    study.datasets = in_order(
        mine=dataset("configs/folder.py", "My images", {"data": {"path": "", "holdout": 0.2}})
    )
    # All images that are left to train on.
    study.shots = (0,)
    study.seeds = (0, 1, 2)
    study.validation = 0.2
    study.budget.steps = 300
    study.search.share = 0.5
    return study
