"""Makes random checkpoints of every architecture. They are as fast as trained checkpoints, and need no download."""

import importlib.util
from types import ModuleType

from options import ROOT


def checkpoint_maker(**settings: object) -> ModuleType:
    """The module that makes the tests' checkpoints, with other values for its settings."""
    spec = importlib.util.spec_from_file_location("recipe", ROOT / "tests/golden/make_architectures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, value in settings.items():
        setattr(module, name, value)
    return module
