"""Networks: encoders, ways of sharing them, heads, and the model that joins them."""

from mtjax.models.encoders import ENCODERS
from mtjax.models.heads import HEADS
from mtjax.models.multitask import MultiTask
from mtjax.models.pyramid import Pyramid
from mtjax.models.sharing import SHARINGS

__all__ = ["ENCODERS", "HEADS", "SHARINGS", "MultiTask", "Pyramid"]
