"""Run the command line as ``python -m sklearn_iqt.cli``."""

import sys

from sklearn_iqt.cli import main

sys.exit(main())
