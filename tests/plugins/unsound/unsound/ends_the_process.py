"""A script rather than a module."""

import sys

sys.exit("usage: ends_the_process FILE")
