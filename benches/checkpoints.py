"""Makes random checkpoints of every architecture. They are as fast as trained checkpoints, and need no download."""

import importlib.util
from types import ModuleType

from options import ROOT


def golden_script(name: str) -> ModuleType:
    """A script that makes the tests' models or golden values, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"tests/golden/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def checkpoint_maker(**settings: object) -> ModuleType:
    """The module that makes the tests' checkpoints, with other values for its settings."""
    module = golden_script("make_architectures")
    for name, value in settings.items():
        setattr(module, name, value)
    return module
