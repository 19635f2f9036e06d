"""How tasks share the encoder: from its features to what the head of each task reads, one file each.

`base.py` says what a sharing answers. An entry of `SHARINGS` is called with the tasks' names, then with the parameters
of its config node.
"""

from mtjax.models.sharing.base import Sharing
from mtjax.models.sharing.cgc import cgc
from mtjax.models.sharing.cross_stitch import cross_stitch
from mtjax.models.sharing.dselect_k import dselect_k
from mtjax.models.sharing.hard import hard
from mtjax.models.sharing.message import message
from mtjax.models.sharing.mmoe import mmoe
from mtjax.models.sharing.mtan import mtan
from mtjax.models.sharing.mti_net import mti_net
from mtjax.models.sharing.nddr import nddr
from mtjax.models.sharing.pad_net import pad_net
from mtjax.models.sharing.relation import relation
from mtjax.models.sharing.soft import soft

SHARINGS = {
    "cgc": cgc,
    "cross_stitch": cross_stitch,
    "dselect_k": dselect_k,
    "hard": hard,
    "message": message,
    "mmoe": mmoe,
    "mtan": mtan,
    "mti_net": mti_net,
    "nddr": nddr,
    "pad_net": pad_net,
    "relation": relation,
    "soft": soft,
}

__all__ = [
    "SHARINGS", "Sharing", "cgc", "cross_stitch", "dselect_k", "hard", "message", "mmoe", "mtan", "mti_net", "nddr",
    "pad_net", "relation", "soft",
]  # fmt: skip
