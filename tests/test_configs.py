"""Every config in configs/ is sound and takes one real step on made data."""

import json
import pathlib
import runpy

import jax
import numpy as np
import pytest
from PIL import Image

from tests import made
from tests.programs import train
from vpt_gen.checkpoints.backbone import TOKENIZERS, load_net
from vpt_gen.checkpoints.released import published
from vpt_gen.checkpoints.shipped import PHOTOS
from vpt_gen.checkpoints.store import Store
from vpt_gen.config import flag
from vpt_gen.config.check import check_config
from vpt_gen.config.fields import METHODS, default_config
from vpt_gen.config.repeat import flatten
from vpt_gen.errors import UserError
from vpt_gen.nets import NETS
from vpt_gen.nets.transformer import TokenTransformer

CONFIGS = flag.files_of_runs(pathlib.Path(__file__).parents[1] / "configs")


def load(path, *variant):
    return runpy.run_path(str(path))["get_config"](*variant)


def load_named(name, *variant):
    return load(next(path for path in CONFIGS if path.stem == name), *variant)


# The others take their step on data of their own: test_vtab_configs.py, test_fewshot_configs.py.
ON_FOLDERS = [path for path in CONFIGS if load(path).data.kind not in ("vtab", "tfds")]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_a_config_says_what_it_is_and_how_to_run_it(path):
    assert "launch/" in path.read_text() or "python -m vpt_gen" in path.read_text()
    check_config(load(path))


@pytest.mark.parametrize("name", ["demo", "demo_ar", "folder", "maskgit256", "taming256"])
@pytest.mark.parametrize("method", METHODS)
def test_a_config_file_takes_a_method(name, method):
    config = load_named(name, method)
    check_config(config)
    assert config.task == method
    assert ("prompt" in config) == (method == "prompts")


@pytest.mark.parametrize("variant", ["ar", "ar,lora", "lora, ar"])
def test_a_folder_takes_a_family_too(variant):
    config = load_named("folder", variant)
    check_config(config)
    assert config.family == "ar" and config.task == ("lora" if "lora" in variant else "prompts")
    assert config.backbone.transformer.endswith("photos/transformer_ar")


@pytest.mark.parametrize("backbone", published.BACKBONES)
@pytest.mark.parametrize("file", ["folder", "vtab_pets", "fewshot_imagenet"])
def test_a_config_file_takes_a_published_backbone(file, backbone):
    known = published.BACKBONES[backbone]
    for words in (backbone, f"{backbone},lora", f"lora,{known.family},{backbone}"):
        config = load_named(file, words)
        check_config(config)
        assert config.task == ("lora" if "lora" in words else "prompts")
        assert config.backbone.to_dict() == {"name": backbone, "tokenizer": "", "transformer": ""}
        assert (config.family, config.data.image_size) == (known.family, known.image_size)
        if file == "folder":
            fields = flatten(config.to_dict())
            ours = {name: x for name, x in known.settings.items() if name in fields}
            assert ours.items() <= fields.items()
            left_out = known.settings.keys() - ours.keys()
            assert not [name for name in left_out if "lora" not in words or "prompt." not in name]


def test_a_backbone_of_another_family_is_named():
    with pytest.raises(UserError, match="taming256 is of the family 'ar', not 'nar'"):
        load_named("folder", "taming256,nar")
    with pytest.raises(UserError, match="takes no maskgit256: use configs/folder.py:maskgit256"):
        load_named("fewshot_fashion", "maskgit256")
    config = load_named("folder", "maskgit256")
    config.backbone.name = "taming256"
    with pytest.raises(UserError, match="config.family is 'nar'; it must be 'ar', that of taming"):
        check_config(config)
    config.backbone.transformer = "my/net"  # Goes before the name's.
    check_config(config)
    config.backbone.name = "maskgit"
    with pytest.raises(UserError, match="config.backbone.name is 'maskgit'; it must be '' or one"):
        check_config(config)


def test_an_unknown_method_is_named():
    with pytest.raises(UserError, match="'lore' is not known; it must be a family .*lora"):
        load_named("folder", "lore")


@pytest.mark.slow
@pytest.mark.parametrize("path", ON_FOLDERS, ids=lambda p: p.stem)
def test_a_config_takes_a_real_step(path, tiny_nets, tmp_path):
    config = load(path)
    made.write_folder(tmp_path / "data", count=4, side=32)
    config.num_steps = 1
    config.batch_size = 4
    config.eval_every = 0
    config.data.kind = "folder"
    config.data.path = str(tmp_path / "data")
    config.data.holdout = 0.5
    config.data.cache_views = 1
    config.optimizer.warmup_steps = 0
    config.data.image_size = 32
    config.data.shots = min(config.data.shots, 2)
    if config.data.classes:
        config.data.classes = ("discs", "bars")
    # One layer or stage is like another.
    if config.task == "transformer":
        config.model.num_layers = 1
    if config.task == "classifier":
        config.model.widths = config.model.widths[:2]
    if config.task == "tokenizer":
        if config.model.net == "titok":
            config.model.encoder_layers = config.model.decoder_layers = 1
        config.losses.quantizer_start = 0
        config.losses.discriminator_filters = 8
        if config.losses.perceptual_weights:
            config.losses.perceptual_weights = str(tiny_nets / "classifier")
        if config.losses.keep_tokens:
            config.losses.keep_tokens = f"{PHOTOS}/tokenizer"
    if "backbone" in config:
        config.backbone.tokenizer = str(tiny_nets / "vqgan")
    if config.task == "prompts":
        # Published weights are not at hand, nor those of runs: smaller nets stand in.
        config.backbone.transformer = str(tiny_nets / config.family)
        config.evaluation.num_samples = 0
    if config.get("start_from"):
        config.start_from = ""
        train(config, tmp_path / "first")
        config.start_from = str(tmp_path / "first" / "net")
    train(config, tmp_path / "run")
    if config.task == "tokenizer" and config.losses.keep_tokens:
        kept = load_net(config.losses.keep_tokens, *TOKENIZERS)
        trained = load_net(str(tmp_path / "run" / "net"), *TOKENIZERS)
        assert trained.tokens_digest == kept.tokens_digest != trained.digest
    store = Store(tmp_path / "run")
    assert store.latest_step() == 1
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(store.restore_params()))


@pytest.mark.slow
@pytest.mark.parametrize("family", ["nar", "ar"])
def test_two_images_a_class_are_enough_for_the_shipped_photos_source(family, tmp_path):
    config = load_named("folder", family)
    config.data.path = str(made.write_folder(tmp_path / "data", count=2, side=50))
    config.num_steps = config.data.cache_views = 1
    config.evaluation.num_samples = config.decode.batch_size = 2
    if family == "nar":
        config.decode.num_iterations = 2
    config.batch_size = 4
    train(config, tmp_path / "run")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["figures"]["frechet"]["value"] != metrics["figures"]["frechet"]["untuned"]
    samples, untuned = (
        np.asarray(Image.open(tmp_path / "run" / name))
        for name in ("samples.png", "samples_untuned.png")
    )
    # Two rows, magnified to 64 pixels, with their lines.
    assert samples.shape == untuned.shape and samples.shape[0] == 2 * 68
    assert (samples != untuned).any()


def test_unknown_views_of_the_photos_classifier_are_named():
    assert load_named("photos_features", "sharp").data.damage == 0
    with pytest.raises(UserError, match="'shrap' is not known; it must be 'sharp' or nothing"):
        load_named("photos_features", "shrap")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("data.fit", "squash", "config.data.fit is 'squash'"),
        ("data.holdout", 1.0, "below 1"),
        ("data.validation", 1.0, "config.data.validation is 1.0"),
        ("data.evaluate_on", "train", "'holdout' or 'validation'"),
        ("data.evaluate_on", "validation", "data.validation is 0.0; it must be positive"),
        ("num_steps", 0, "config.num_steps is 0"),
        ("mask_schedule", "sine", "mask_schedule is 'sine'; it must be 'cosine', 'arccos'"),
        ("decode.num_iterations", 0, "config.decode.num_iterations is 0"),
        ("decode.guidance", -1.0, "config.decode.guidance is -1.0"),
        ("optimizer.schedule", "step", "config.optimizer.schedule is 'step'"),
        ("prompt.condition", "text", "config.prompt.condition is 'text'"),
        ("prompt.design", "cubic", "one of additive, factorized, full"),
        ("prompt.num_factors", 4, "1 if config.prompt.design is not 'factorized'"),
        ("evaluation.features", "dino", "inception or dinov2 or clip or photos or tokenizer"),
        ("evaluation.every", 5, "0 if config.evaluation.num_samples is 0"),
    ],
)
def test_impossible_values_are_named(field, value, message):
    config = default_config("prompts")
    *groups, name = field.split(".")
    group = config
    for part in groups:
        group = group[part]
    group[name] = value
    with pytest.raises(UserError, match=message):
        check_config(config)


@pytest.mark.parametrize(
    ("net", "fields", "message"),
    [
        ("maskgit", {"num_heads": 5}, "model.num_heads is 5; .* a divisor of .*hidden_size, 768"),
        ("rar", {"num_heads": 5}, "model.num_heads is 5; .* a divisor of .*hidden_size, 768"),
        ("titok", {"encoder_heads": 3}, "encoder_heads is 3; .* of .*encoder_width, 1024"),
        ("titok", {"patch_size": 24}, "patch_size is 24; .* of config.model.image_size, 256"),
        ("titok", {"patch_size": 32}, "channel_multipliers is .*; .* patch_size, 32"),
    ],
)
def test_sizes_that_do_not_divide_others_are_named(net, fields, message):
    task = "transformer" if issubclass(NETS[net], TokenTransformer) else "tokenizer"
    config = default_config(task, getattr(NETS[net], "family", "nar"), net)
    config.model.update(fields)
    with pytest.raises(UserError, match=message):
        check_config(config)


def test_the_heads_of_a_halton_maskgit_need_not_fill_its_width():
    config = default_config("transformer", "nar", "halton_maskgit")
    config.model.update({"hidden_size": 14, "num_heads": 4})
    check_config(config)


def test_an_approximate_decoder_takes_no_guidance():
    config = default_config("prompts")
    config.decode.decoder, config.decode.guidance = "frontier", 0.5
    with pytest.raises(UserError, match="it must be 0 with the decoder 'frontier'"):
        check_config(config)


def test_a_quantizer_that_would_never_start_is_named():
    config = default_config("tokenizer")
    config.losses.quantizer_start = config.num_steps
    with pytest.raises(UserError, match="quantizer_start is .*below num_steps"):
        check_config(config)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("adversarial_weight", 0.1, "it must be 0 with config.losses.predict_codes_of"),
        ("perceptual_weights", "vgg", "it must be '' with config.losses.predict_codes_of"),
        ("keep_tokens", "net", "it must be '' with config.losses.predict_codes_of"),
    ],
)
def test_losses_of_pixels_do_not_go_with_predicted_codes(field, value, message):
    config = load_named("small_tokenizer")
    config.losses[field] = value
    with pytest.raises(UserError, match=message):
        check_config(config)


def test_only_a_titok_predicts_codes():
    config = load_named("source_tokenizer")
    config.losses.predict_codes_of = "net"
    with pytest.raises(UserError, match="config.model.net is 'vqgan'; it must be 'titok'"):
        check_config(config)


@pytest.mark.parametrize("name", ["small_source", "small_digits"])
def test_a_net_that_is_not_compared_is_named(name):
    with pytest.raises(UserError, match="'biggan' is not compared; use one of maskgit, gpt"):
        load_named(name, "biggan")


@pytest.mark.parametrize(
    ("method", "field", "value", "message"),
    [
        ("deep_prompts", "num_prompt_tokens", 0, "from 1 to 65,536"),
        ("lora", "rank", 0, "from 1 to 65,536"),
        ("lora", "alpha", 0.0, "a number above 0"),
        ("lora", "matrices", ("query", "head"), "some of query, key, value, out, mlp_in, mlp_out"),
        ("lora", "matrices", (), "some of query"),
        ("prompts_lora", "rank", 0, "from 1 to 65,536"),
        ("prompts_lora", "matrices", ("head",), "some of query"),
        ("prompts_lora", "num_factors", 2, "1 if config.prompts_lora.design is not"),
        ("adapters", "size", 0, "from 1 to 65,536"),
    ],
)
def test_impossible_options_of_methods_are_named(method, field, value, message):
    config = default_config(method)
    config[method][field] = value
    with pytest.raises(UserError, match=f"config.{method}.{field} is .*{message}"):
        check_config(config)


@pytest.mark.parametrize(
    ("field", "value"), [("temperature", -1.0), ("top_k", -1), ("top_p", 1.5), ("batch_size", 0)]
)
def test_impossible_autoregressive_decoding_is_named(field, value):
    config = default_config("prompts", "ar")
    config.decode[field] = value
    with pytest.raises(UserError, match=f"config.decode.{field} is"):
        check_config(config)


def test_guided_states_of_two_heads_are_named():
    config = default_config("finetune")
    config.decode.update({"decoder": "halton_released", "domain_guidance": True})
    check_config(config)
    config.decode.guidance = 1.0
    with pytest.raises(UserError, match="config.decode.domain_guidance is True; it must be False"):
        check_config(config)


def test_unknown_and_missing_fields_are_named():
    config = default_config("prompts").unlock()
    config.optimizer.learning_rat = 1.0
    with pytest.raises(UserError, match="learning_rat; did you mean learning_rate"):
        check_config(config)
    del config.optimizer.learning_rat
    del config.data.flip
    with pytest.raises(UserError, match="config.data.flip is missing"):
        check_config(config)
