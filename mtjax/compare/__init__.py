"""Was learning worth it? Learned heads and classical solvers on the same observations, with honest error bars.

`compare` measures; `write` puts what it found into a folder; `compare_command` is `mtjax compare`.
"""

from mtjax.compare.command import compare_command, write
from mtjax.compare.results import Comparison
from mtjax.compare.run import compare

__all__ = ["Comparison", "compare", "compare_command", "write"]
