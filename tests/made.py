"""Made data and tiny configs: what a real run needs, in seconds."""

import jax
import numpy as np
from PIL import Image

from tests.random_params import random_gan
from vpt_gen.checkpoints.backbone import load_net, save_net
from vpt_gen.config.fields import default_config
from vpt_gen.nets.biggan import BigGAN
from vpt_gen.nets.classifier import Classifier
from vpt_gen.nets.gpt import GPT
from vpt_gen.nets.maskgit import MaskGIT
from vpt_gen.nets.vqgan import VQGAN


def write_folder(root, classes=("bars", "discs"), count=6, side=16):
    """Writes `count` PNG images a class; classes differ in shape, images in place."""
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(count):
            center = generator.integers(4, side - 4, size=2)
            if number % 2:
                drawn = np.hypot(rows - center[0], columns - center[1]) < 4
            else:
                drawn = abs(columns - center[1]) < 2
            Image.fromarray((drawn * 255).astype(np.uint8)).save(root / name / f"{i}.png")
    return root


def save_nets(folder):
    """Saves the smallest nets for images of 32 pixels, 64 tokens of 256 codes: vqgan, nar, ar;
    and a classifier of them."""
    image = np.zeros((1, 32, 32, 3))
    save_new(folder / "vqgan", VQGAN(32, (1, 1, 1), 1, 8, 256), image)
    sizes = {"num_layers": 1, "hidden_size": 32, "num_heads": 2, "intermediate_size": 64}
    tokens, labels = np.zeros((1, 64), np.int32), np.zeros(1, np.int32)
    for name, net in (("nar", MaskGIT(256, 4, 64, **sizes)), ("ar", GPT(256, 64, **sizes))):
        save_new(folder / name, net, tokens, class_ids=labels)
    classifier = Classifier(2, (8, 16))
    save_net(str(folder / "classifier"), classifier, new_variables(classifier, image), {})
    return folder


def save_new(folder, net, *example, **named):
    """Saves a net that has learned nothing."""
    save_net(str(folder), net, new_params(net, *example, **named), {})


def new_params(net, *example, seed=0, **named):
    """Parameters of a net that has learned nothing."""
    return new_variables(net, *example, seed=seed, **named)["params"]


def new_variables(net, *example, seed=0, **named):
    """All collections of such a net."""
    # One program: operation by operation, each would be compiled on its own.
    return jax.jit(net.init)(jax.random.key(seed), *example, **named)


def sharpened(params):
    """Parameters of a new net, so large that it predicts differently for each condition."""
    return jax.tree.map(lambda x: 20.0 * x if x.ndim > 1 else x, params)


def save_sharpened(nets, folder):
    """Saves the `nar` of `save_nets`, sharpened, and its tokenizer in another folder."""
    (folder / "vqgan").symlink_to(nets / "vqgan")
    nar = load_net(str(nets / "nar"), "maskgit")
    save_net(str(folder / "nar"), nar.net, sharpened(nar.params), {})


def save_gan(folder):
    """Saves a very small BigGAN of three classes, for images of 32 pixels."""
    net = BigGAN(3, 32, 2, 2, 8, 4, (), ())
    save_net(str(folder), net, random_gan(net.init), {})
    return folder


def shared(config, data):
    """Sets what all tiny runs have in common."""
    config.num_steps = 2
    config.batch_size = 8
    config.log_every = 1
    config.eval_every = 2
    config.checkpoint_every = 1
    config.data.kind = "folder"
    config.data.path = str(data)
    config.data.holdout = 0.5
    config.data.image_size = 16
    return config


def tokenizer_config(data, adversarial_weight=0.0):
    config = shared(default_config("tokenizer"), data)
    config.model.update(
        {
            "filters": 32,
            "channel_multipliers": (1, 1, 1),
            "num_res_blocks": 1,
            "embedding_dim": 8,
            "codebook_size": 16,
        }
    )
    config.losses.adversarial_weight = adversarial_weight
    config.losses.discriminator_filters = 16
    return config


def gan_config(data):
    config = shared(default_config("gan"), data)
    config.data.image_size = 32
    config.model.update(
        {
            "generator_channels": 2,
            "discriminator_channels": 2,
            "z_size": 8,
            "shared_size": 4,
            "generator_attention": (),
            "discriminator_attention": (),
        }
    )
    return config


def transformer_config(data, tokenizer, family="nar"):
    config = shared(default_config("transformer", family), data)
    config.backbone.tokenizer = str(tokenizer)
    if family == "nar":
        config.decode.num_iterations = 2
    config.model.update(
        {"num_layers": 1, "hidden_size": 16, "num_heads": 2, "intermediate_size": 32}
    )
    return config


def prompts_config(data, tokenizer, transformer, family="nar"):
    config = shared(default_config("prompts", family), data)
    config.backbone.tokenizer = str(tokenizer)
    config.backbone.transformer = str(transformer)
    config.prompt.num_prompt_tokens = 3
    if family == "nar":
        config.decode.num_iterations = 3
    config.decode.batch_size = 8
    return config


_STUDY = """
from vpt_gen.study.config import dataset, default_study, in_order, variant

def get_config():
    study = default_study()
    study.variants = in_order(
        full=variant("prompts", set={{"prompt": {{"design": "full"}}}}),
        scrolled=variant("prompts", trained_as="full", sampling=["--marquee=scroll"]),
    )
    study.datasets = in_order(made=dataset({config!r}))
    study.shots = ({shots},)
    study.seeds = (1,)
    study.budget.steps = 2
    study.search.multiples = (0.5,)
    study.samples.num = 2 * {shots}
    study.samples.judge_shots = {shots}
    study.validation = {validation}
    return study
"""


def write_study(path, config, *, shots, validation):
    """Writes a study of one config, `path`, with two variants; the second only samples."""
    path.write_text(_STUDY.format(config=str(config), shots=shots, validation=validation))
