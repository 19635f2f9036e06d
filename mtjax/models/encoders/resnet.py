"""A residual network whose last stages may dilate, read as a feature pyramid."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn

from mtjax.models.layers import check_sizes, conv, group_norm
from mtjax.models.pyramid import resize
from mtjax.typing import Array, Float


class ResidualUnit(nn.Module):
    """`relu(shortcut(x) + branch(x))`: two 3×3 convolutions, or with `bottleneck` 1×1, 3×3, 1×1 to 4 times `channels`.

    dilation: of the 3×3 convolution that may stride, and of the one after it.

    The last normalization starts at scale zero, so what is added is nothing at first, and as `relu` leaves alone what
    it has made, units of any number pass their input on unchanged.

    Source: He et al., "Deep residual learning for image recognition", CVPR 2016, with the stride in the 3×3
    convolution; Goyal et al., "Accurate, large minibatch SGD", 2017 (the zero).
    """

    channels: int
    bottleneck: bool = False
    stride: int = 1
    dilation: tuple[int, int] = (1, 1)
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w c"]:
        """Maps features to `channels` (times 4 for a bottleneck) at `1 / stride` of the resolution."""
        c, out, stride = self.channels, self.channels * (4 if self.bottleneck else 1), self.stride
        if self.bottleneck:
            layers = [(c, 1, 1, 1), (c, 3, stride, self.dilation[0]), (out, 1, 1, 1)]
        else:
            layers = [(c, 3, stride, self.dilation[0]), (c, 3, 1, self.dilation[1])]
        y = x
        for i, (features, kernel, step, dilation) in enumerate(layers):
            last = i == len(layers) - 1
            y = unbiased(features, kernel, step, dilation, self.dtype, f"conv{i}")(y)
            y = group_norm(features, self.dtype, zero=last, name=f"norm{i}")(y)
            y = y if last else nn.relu(y)
        if stride > 1 or x.shape[-1] != out:
            x = unbiased(out, 1, stride, 1, self.dtype, "shortcut")(x)
            x = group_norm(out, self.dtype, name="shortcut_norm")(x)
        return nn.relu(x + y)


def unbiased(features: int, kernel: int, stride: int, dilation: int, dtype: Any, name: str) -> nn.Conv:
    """A convolution without the bias that the normalization after it would take away again."""
    return nn.Conv(
        features, (kernel, kernel), stride, kernel_dilation=dilation, use_bias=False,
        kernel_init=nn.initializers.he_normal(), dtype=dtype, name=name,
    )  # fmt: skip


class TopDown(nn.Module):
    """Features of every stride with `width` channels each, joined from coarse to fine by lateral additions.

    Source: Lin et al., "Feature pyramid networks", CVPR 2017, resized bilinearly; normalized at its end as by Wu and
    He, "Group normalization", ECCV 2018.
    """

    width: int
    dtype: Any = None

    @nn.compact
    def __call__(self, levels: tuple[Float[Array, "B _h _w _c"], ...]) -> tuple[Float[Array, "B _h _w c"], ...]:
        """Maps feature maps, finest first, to as many of the same sides."""
        joined, above = [], None
        for i, level in reversed(list(enumerate(levels))):
            x = conv(self.width, kernel=1, dtype=self.dtype, name=f"lateral{i}")(level)
            above = x if above is None else x + resize(above, (x.shape[1], x.shape[2]))
            y = conv(self.width, dtype=self.dtype, name=f"out{i}")(above)
            joined.insert(0, group_norm(self.width, self.dtype, name=f"norm{i}")(y))
        return tuple(joined)


class ResNet(nn.Module):
    """Stages of residual units, channels doubling and resolution halving from each to the next, then `TopDown`.

    The last `dilate` stages keep the resolution of the one before and dilate their convolutions instead, so that a unit
    sees as far as it would have. Of stages with the same stride the last one is what the pyramid is made of.

    Normalized over groups of channels, for the reason given at `ConvNormAct`.

    Source: He et al., CVPR 2016; Yu, Koltun, Funkhouser, "Dilated residual networks", CVPR 2017.
    """

    width: int = 32
    depths: tuple[int, ...] = (2, 2, 2)
    bottleneck: bool = False
    dilate: int = 0
    stem: int = 2
    fpn: int = 64
    dtype: Any = None

    @property
    def stage_strides(self) -> tuple[int, ...]:
        """Stride of the features after each stage."""
        halvings = len(self.depths) - 1 - self.dilate
        return tuple(self.stem * 2 ** min(stage, halvings) for stage in range(len(self.depths)))

    @property
    def strides(self) -> tuple[int, ...]:
        """Stride of each level that is given, finest first."""
        return tuple(dict.fromkeys(self.stage_strides))

    @nn.compact
    def __call__(
        self, x: Float[Array, "B H W C"], between: Callable[[int, Array], Array] | None = None
    ) -> tuple[Float[Array, "B _h _w c"], ...]:
        """Encodes images whose sides are multiples of the largest stride.

        between: `(stage, features) -> features` of the same shape, called after each stage; what it returns takes the
        features' place.
        """
        x = unbiased(self.width, 7 if self.stem > 1 else 3, min(self.stem, 2), 1, self.dtype, "stem")(x)
        x = nn.relu(group_norm(self.width, self.dtype, name="stem_norm")(x))
        if self.stem == 4:
            x = nn.max_pool(x, (3, 3), (2, 2), "SAME")
        by_stride, stride, dilation = {}, self.stem, 1
        for stage, depth in enumerate(self.depths):
            step = self.stage_strides[stage] // stride
            # The first convolution of a stage that gives up its stride reads what the stage before wrote, as it did.
            inside = dilation * 2 if stage and step == 1 else dilation
            for unit in range(depth):
                channels, first = self.width * 2**stage, unit == 0
                dilations = (dilation if first else inside, inside)
                name = f"stage{stage}_unit{unit}"
                x = ResidualUnit(channels, self.bottleneck, step if first else 1, dilations, self.dtype, name=name)(x)
            stride, dilation = self.stage_strides[stage], inside
            x = x if between is None else between(stage, x)
            by_stride[stride] = x
        return TopDown(self.fpn, self.dtype, name="fpn")(tuple(by_stride.values()))


def resnet(
    dtype: Any,
    /,
    *,
    width: int = 32,
    depths: tuple[int, ...] = (2, 2, 2),
    bottleneck: bool = False,
    dilate: int = 0,
    stem: int = 2,
    fpn: int = 64,
) -> ResNet:
    """A residual network read as a feature pyramid.

    ResNet-18 is width 64, depths (2, 2, 2, 2), stem 4; ResNet-50 is that with depths (3, 4, 6, 3) and bottleneck.

    Args:
        dtype: precision inside, None for that of its input.
        width: channels of the first stage; they double at each.
        depths: residual units of each stage.
        bottleneck: units of three convolutions, with 4 times the channels outside.
        dilate: how many of the last stages keep their resolution and dilate.
        stem: the finest stride, 1, 2 or 4; 2 strides in a 7×7 convolution, 4 pools after that as well.
        fpn: channels of every level that is given.

    Raises:
        ValueError: a size below 1, a stem that is not 1, 2 or 4, or as many dilated stages as there are, or more.
    """
    check_sizes(width=width, fpn=fpn, the_least_of_depths=min(depths, default=0))
    if stem not in (1, 2, 4):
        raise ValueError(f"stem must be 1, 2 or 4, got {stem}")
    if not 0 <= dilate < len(depths):
        raise ValueError(f"dilate must be at least 0 and less than the {len(depths)} stages of depths, got {dilate}")
    return ResNet(width, depths, bottleneck, dilate, stem, fpn, dtype)
