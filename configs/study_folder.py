"""Compare every method of adapting the shipped source models on your own folder of images.

  python -m vpt_gen.study --config=configs/study_folder.py \
    --config.datasets.mine.set.data.path=my_images

Use one folder per class. A fifth of each class is held out for the metrics, and a fifth of the rest
chooses learning rates. Ten images per class are enough to start; more give more reliable metrics.
Choose variants with --only, or write your own file like this one. The transformers know photographs
and drawings in color; the two GANs start from the demo's BigGAN, which knows gray drawings. All
images have 32x32 pixels.
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
    names = ("scratch", "finetune", "difffit", "norm_bias", "norms", "lora", "adapters")
    few = ("class_deep_prompts", "deep_prompts", "class_mixture", "class_embedding")
    study.variants = in_order(
        **{name: variant(name) for name in (*names, *few)},
        prompts_lora=variant("prompts_lora", shares={"prompts_lora": {"prompt_steps": 0.5}}),
        # Decoded like the other methods, so without guidance.
        prompts=variant("prompts", set={"decode": {"guidance": 0.0}}),
        # The first third of a GAN's run is its first stage.
        minegan=variant("minegan", shares={"minegan": {"miner_steps": 1 / 3}}, keep_best=True),
        cgantransfer=variant(
            "cgantransfer", shares={"cgantransfer": {"norm_steps": 1 / 3}}, keep_best=True
        ),
    )
    study.datasets = in_order(
        mine=dataset("configs/folder.py", "My images", {"data": {"path": "", "holdout": 0.2}})
    )
    # All remaining images.
    study.shots = (0,)
    study.seeds = (0, 1, 2)
    study.validation = 0.2
    study.samples.features = "photos"
    study.budget.steps = 300
    study.search.share = 0.5
    return study
