"""What the tests of several packages post."""

from shared.jobs import Inputs

INPUTS = Inputs(content="c" * 64, styles=["5" * 64])
