"""Random checkpoints of every architecture: as fast as trained ones, and no model hub is needed to make them."""

import importlib.util
from types import ModuleType

from options import ROOT


def recipe(**settings: object) -> ModuleType:
    """The module that makes the tests' checkpoints, told to make others."""
    spec = importlib.util.spec_from_file_location("recipe", ROOT / "tests/golden/make_architectures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, value in settings.items():
        setattr(module, name, value)
    return module
