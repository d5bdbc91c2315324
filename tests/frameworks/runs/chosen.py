"""The framework that this process runs: the module `with_NAME` that its first argument names."""

import importlib
import sys
from typing import Any

framework: Any = importlib.import_module(f"with_{sys.argv[1]}")
