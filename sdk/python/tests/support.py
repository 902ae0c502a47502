"""Sets the tests' import path, and makes plugins of source text."""

import os
import sys
import types
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
SDK = os.path.dirname(HERE)
ROOT = os.path.dirname(os.path.dirname(SDK))
sys.path.insert(0, SDK)

from coinslot import _endpoint, _plugin, testing  # noqa: E402


def define(source: str, filename: str = "app.py") -> types.ModuleType:
    """Runs source text as the module of a plugin, whose endpoints replace those before."""
    _endpoint.endpoints.clear()
    module = types.ModuleType(filename.removesuffix(".py"))
    sys.modules[module.__name__] = module
    exec(compile(source, filename, "exec"), module.__dict__)
    _endpoint.complete()
    return module


class PluginTest(unittest.TestCase):
    """A test that starts without endpoints, configuration and keys."""

    def setUp(self):
        _endpoint.endpoints.clear()
        _plugin.Plugin.name = _plugin.Plugin.version = _plugin.Plugin.check_config = None
        testing.reset()

    def refused(self, answer, status, code, pointer=None, rule=None):
        """Checks the one shape of refusals, and returns the message."""
        document = answer.json()
        self.assertEqual((answer.status, document["error"], document.get("pointer")), (status, code, pointer), answer)
        self.assertEqual(answer.headers["content-type"], "application/json")
        if rule is not None:
            self.assertEqual(document["code"], rule)
        return document["message"]
