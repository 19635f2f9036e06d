"""PAD-Net: initial predictions of every task, then messages between the features that made them."""

from collections.abc import Mapping

import flax.linen as nn

from mtjax.models.layers import NormalizedBlock
from mtjax.models.pyramid import Pyramid
from mtjax.models.sharing.base import Sharing
from mtjax.models.sharing.distillation import Receive, without
from mtjax.pytree import replace


class PADNet(Sharing):
    """A block per task at the finest level, an initial head on it, and messages between the blocks' features.

    What passes between tasks are the features from which the initial heads predict, so a head may say anything: an
    image, classes of pixels, a class of the picture.
    """

    mixes = True

    @nn.compact
    def __call__(
        self, features: dict[str, Pyramid], reads: Mapping[str, str], wanted: tuple[str, ...]
    ) -> dict[str, tuple[Pyramid, ...]]:
        """See `Sharing`; one initial head per task."""
        initial = {}
        for task in self.tasks:
            x = features[reads[task]].finest
            initial[task] = NormalizedBlock(x.dtype, name=f"initial_{task}")(x)
        shared = {}
        for task in wanted:
            pyramid, x = features[reads[task]], initial[task]
            final = Receive(name=f"receive_{task}")(x, without(initial, task))
            shared[task] = tuple(replace(pyramid, levels=(finest, *pyramid.levels[1:])) for finest in (final, x))
        return shared


def pad_net(tasks: tuple[str, ...], /) -> PADNet:
    """Prediction and distillation (Xu et al., "PAD-Net", CVPR 2018; gated messages are its module C)."""
    return PADNet(tasks)
