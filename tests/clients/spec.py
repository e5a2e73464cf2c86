"""Holds the server to every word of its /openapi.json, by schemathesis with every check on.

Usage: python tests/clients/spec.py [schemathesis options]
"""

import os
import pathlib
import subprocess
import sys
import tempfile

from serving import WRITE, serving

# Next to this Python, in whichever environment it is.
SCHEMATHESIS = pathlib.Path(sys.executable).parent / "schemathesis"


def main():
    # A list of more questions than may be is refused for that, also if each has a vector.
    with serving("--max-body-bytes", str(1 << 26)) as (address, _), tempfile.TemporaryDirectory() as folder:
        command = [SCHEMATHESIS, "run", f"{address}/openapi.json", "--checks", "all", "--continue-on-failure"]
        command += ["--header", f"Authorization: Bearer {WRITE}", "--seed", "1", *sys.argv[1:]]
        return subprocess.run(command, cwd=folder, env={**os.environ, "NO_COLOR": "1"}).returncode


if __name__ == "__main__":
    sys.exit(main())
