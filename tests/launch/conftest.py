"""The modules of launch/ can be imported, as they can be beside `launch/sweep.py`."""

import sys

from stand_ins import LAUNCH

sys.path.append(str(LAUNCH))
