"""The config of a run: its fields, their check, the flag --config, and a run's command."""

from vpt_gen.config.fields import default_config

__all__ = ["default_config"]
