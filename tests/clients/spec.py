"""Tests a server against its own /openapi.json, with all checks of schemathesis.

Usage: python tests/clients/spec.py [schemathesis options]
"""

import os
import pathlib
import subprocess
import sys
import tempfile

from serving import WRITE, serving

# schemathesis is installed in the same folder as the Python that runs this script.
SCHEMATHESIS = pathlib.Path(sys.executable).parent / "schemathesis"


def main():
    # The maximum body size is large, so that the server refuses a batch with too many query vectors because of the
    # count of vectors, not because of the size of the body.
    with serving("--max-body-bytes", str(1 << 26)) as (address, _), tempfile.TemporaryDirectory() as folder:
        command = [SCHEMATHESIS, "run", f"{address}/openapi.json", "--checks", "all", "--continue-on-failure"]
        command += ["--header", f"Authorization: Bearer {WRITE}", "--seed", "1", *sys.argv[1:]]
        return subprocess.run(command, cwd=folder, env={**os.environ, "NO_COLOR": "1"}).returncode


if __name__ == "__main__":
    sys.exit(main())
