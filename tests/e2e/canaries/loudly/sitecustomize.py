"""Has a Python process say all that its loggers have to say, into the file that a variable names.

Python imports a module of this name at its start, where it finds one.
"""

import logging
import os

if "REMIT_CANARY_LOG" in os.environ:
    logging.basicConfig(filename=os.environ["REMIT_CANARY_LOG"], level=logging.DEBUG)
