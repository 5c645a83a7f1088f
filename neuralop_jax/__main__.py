"""`python -m neuralop_jax` and the console script `neuralop-jax`."""

import sys

from neuralop_jax.cli import main

if __name__ == "__main__":
    sys.exit(main())
