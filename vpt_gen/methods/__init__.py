"""Methods that adapt a pretrained net to new images: one file each, and one line here."""

from vpt_gen.methods.adapters import Adapters
from vpt_gen.methods.cgantransfer import CGANTransfer
from vpt_gen.methods.class_deep_prompts import ClassDeepPrompts
from vpt_gen.methods.class_embedding import ClassEmbedding
from vpt_gen.methods.class_mixture import ClassMixture
from vpt_gen.methods.deep_prompts import DeepPrompts
from vpt_gen.methods.difffit import DiffFit
from vpt_gen.methods.finetune import Finetune
from vpt_gen.methods.lora import LoRA
from vpt_gen.methods.minegan import MineGAN
from vpt_gen.methods.norm_bias import NormBias
from vpt_gen.methods.norms import Norms
from vpt_gen.methods.prompts import Prompts
from vpt_gen.methods.prompts_lora import PromptsLoRA
from vpt_gen.methods.record import Record
from vpt_gen.methods.scratch import Scratch

METHODS: dict[str, type[Record]] = {
    "prompts": Prompts,
    "class_embedding": ClassEmbedding,
    "class_mixture": ClassMixture,
    "deep_prompts": DeepPrompts,
    "class_deep_prompts": ClassDeepPrompts,
    "norms": Norms,
    "norm_bias": NormBias,
    "difffit": DiffFit,
    "lora": LoRA,
    "prompts_lora": PromptsLoRA,
    "adapters": Adapters,
    "finetune": Finetune,
    "scratch": Scratch,
    "minegan": MineGAN,
    "cgantransfer": CGANTransfer,
}


def of_source(source: str) -> tuple[str, ...]:
    """Returns the names of the methods that adapt a "transformer" or a "gan"."""
    return tuple(name for name, method in METHODS.items() if method.source == source)
