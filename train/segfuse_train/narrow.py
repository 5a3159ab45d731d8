"""Makes a narrower network of a trained one, which then has little to learn anew: pruning.

Of the channels that only the next convolution sees, those that it weighs most are kept (after Li et al., "Pruning
Filters for Efficient ConvNets", 2017). Where the branches meet, the convolution of the upsampled far features becomes
one of the far features themselves that comes nearest to it.
"""

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from segfuse_train.network import Beside, Meeting, Network, Residual

# Rows: the taps of a kernel at 1/16; columns: the taps at 1/8 that they stand for, half a coarse cell apart.
COARSER = torch.tensor([[0.5, 0.0, 0.0], [0.5, 1.0, 0.5], [0.0, 0.0, 0.5]])


def narrowed(wide: Network, size: str) -> Network:
    """A network of `size` made of `wide`; refuses sizes that differ in more than can be narrowed. No correction."""
    narrow = Network(size)
    source = copy.deepcopy(wide).eval()
    with torch.no_grad():
        try:
            stem, thinner = source.backbone.stem, narrow.backbone.stem
            keep(stem[0], stem[1][0], thinner[0][0].out_channels)
            for block, target in zip(residuals(source), residuals(narrow), strict=True):
                keep(block.first, block.second[0], target.first[0].out_channels)
            if isinstance(narrow.backbone.fuse, Meeting) and isinstance(source.backbone.fuse, Beside):
                source.backbone.fuse = met(source.backbone.fuse)
            source.correction = None
            narrow.load_state_dict(source.state_dict())
        except (RuntimeError, ValueError) as error:
            raise SystemExit(f"a network of size {wide.size} cannot be narrowed to {size} ({error})") from error
    return narrow


def residuals(network: Network) -> list[Residual]:
    return [module for module in network.backbone.modules() if isinstance(module, Residual)]


def keep(first: nn.Sequential, after: nn.Conv2d, count: int) -> None:
    """Leaves `count` of the channels between a convolution with its normalisation and the one `after` it."""
    convolution, norm = first[0], first[1]
    if count > convolution.out_channels:
        raise ValueError(f"{count} channels of {convolution.out_channels}")
    # What a channel comes to behind the normalisation, times what it is weighed with there.
    weighed = norm.weight.abs() * after.weight.square().sum((0, 2, 3)).sqrt()
    kept = weighed.topk(count).indices.sort().values
    convolution.weight, after.weight = nn.Parameter(convolution.weight[kept]), nn.Parameter(after.weight[:, kept])
    convolution.out_channels, after.in_channels, norm.num_features = count, count, count
    norm.weight, norm.bias = nn.Parameter(norm.weight[kept]), nn.Parameter(norm.bias[kept])
    norm.running_mean, norm.running_var = norm.running_mean[kept], norm.running_var[kept]


def met(beside: Beside) -> Meeting:
    """The same, with the upsampled half of the inputs convolved before it is upsampled."""
    both = fuse_conv_bn_eval(beside[0], beside[1])
    channels = both.out_channels
    meeting = Meeting(channels)
    meeting.near.weight.copy_(both.weight[:, :channels])
    meeting.near.bias.copy_(both.bias)
    meeting.far.weight.copy_(COARSER @ both.weight[:, channels:] @ COARSER.T)
    return meeting
