"""Checks the server against its /openapi.json with schemathesis, with all its checks.

Usage: python tests/clients/spec.py [schemathesis options]
"""

import os
import pathlib
import subprocess
import sys
import tempfile

from serving import WRITE, serving

# In the folder of the Python that runs this script.
SCHEMATHESIS = pathlib.Path(sys.executable).parent / "schemathesis"


def main():
    # The body limit is large, so that a batch with too many query vectors is refused for their number, not for its
    # size.
    with serving("--max-body-bytes", str(1 << 26)) as (address, _), tempfile.TemporaryDirectory() as folder:
        command = [SCHEMATHESIS, "run", f"{address}/openapi.json", "--checks", "all", "--continue-on-failure"]
        command += ["--header", f"Authorization: Bearer {WRITE}", "--seed", "1", *sys.argv[1:]]
        return subprocess.run(command, cwd=folder, env={**os.environ, "NO_COLOR": "1"}).returncode


if __name__ == "__main__":
    sys.exit(main())
