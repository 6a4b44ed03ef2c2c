"""A bench for one question: why does training a recurrent network blow up, and what cures it?"""

import os

# MKL chooses among kernels by how a matrix lies in memory, which depends on its place in a fleet;
# the kernels round differently. Its strict reproducible mode doesn't, at no measurable cost. It is
# read at MKL's first product, so it is set before torch is used.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

__version__ = "0.1.0"
