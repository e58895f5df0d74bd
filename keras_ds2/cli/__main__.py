"""`python -m keras_ds2.cli`: the command, of this Python."""

import sys

from keras_ds2.cli import main

if __name__ == "__main__":
    sys.exit(main())
