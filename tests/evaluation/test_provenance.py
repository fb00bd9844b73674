"""What rounds the actions of a policy is told apart, so that pieces of two machines never mix."""

import os
import subprocess
import sys

import pytest
import threadpoolctl

from datumrl.evaluation import provenance


def test_another_kernel_of_the_same_library_is_other_arithmetic() -> None:
    """OpenBLAS runs older processors' kernels where it is told to: another machine, so to speak."""
    found = [each.get("architecture") for each in threadpoolctl.threadpool_info()]
    if not {"Haswell", "SkylakeX", "Zen"} & set(found):
        pytest.skip("no OpenBLAS with a choice of kernels, on x86")
    code = "from datumrl.evaluation.provenance import *; print(arithmetic(), arithmetic_digest())"
    told = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **changed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for changed in ({}, {}, {"OPENBLAS_CORETYPE": "Nehalem"})
    ]
    assert told[0] == told[1] == f"{provenance.arithmetic()} {provenance.arithmetic_digest()}\n"
    assert "Nehalem" in told[2]
    assert told[0].split()[-1] != told[2].split()[-1]
