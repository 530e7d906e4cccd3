"""The config of a run: its fields, their check, the flag --config, and a run's command."""

from etils import epy

with epy.lazy_api_imports(globals()):
    from vpt_gen.config.fields import default_config

__all__ = ["default_config"]
