"""Nothing that a store holds can become running code: no format that runs what it reads, no eval, no shell."""

from __future__ import annotations

import pytest

from tests.architecture.rules.danger import dangerous
from tests.architecture.rules.files import package, parse


def test_the_package_has_no_way_from_stored_bytes_to_code() -> None:
    assert dangerous(package()) == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import loads",
        "import marshal",
        "def late():\n    import dill",
        "import yaml\n",
        "eval(text)",
        "exec(text)",
        "builtins.eval(text)",
        "__import__(name)",
        "compile(text, 'name', 'exec')",
        "os.system(text)",
        "subprocess.run(text, shell=True)",
        "subprocess.run(text, shell=flag)",
    ],
)
def test_a_dangerous_line_is_found(text: str) -> None:
    assert len(dangerous([parse(text)])) == 1


@pytest.mark.parametrize(
    "text",
    [
        "re.compile(pattern)",
        "model.eval()",
        "import json",
        "subprocess.run(args, shell=False)",
        "'pickle'",
        "pickled = 1",
    ],
)
def test_a_harmless_line_passes(text: str) -> None:
    assert dangerous([parse(text)]) == []
