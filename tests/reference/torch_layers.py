# SPDX-License-Identifier: MIT
"""The PyTorch modules that equal Bantam's layers and blocks.

Modules are registered in the order of Bantam's flat parameter buffer, so `parameters()` enumerates
the tensors as C++ numbers them: a block's body first, then its shortcut, then its learned scale;
branches from the first to the last.
"""

import torch
from torch import nn
from torch.nn import functional


def conv(inputs, outputs, kernel, stride=1, padding=None, dilation=1, groups=1, bias=False):
    """Convolution; `padding=None` keeps the size at stride 1 (Bantam's default)."""
    if padding is None:
        padding = dilation * (kernel - 1) // 2
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias)


def depthwise(channels, kernel, stride=1, dilation=1, bias=False):
    return conv(channels, channels, kernel, stride, None, dilation, channels, bias)


def pointwise(inputs, outputs, bias=False):
    return conv(inputs, outputs, 1, bias=bias)


def depthwise_separable(inputs, outputs, stride=1, kernel=3):
    """Depthwise, BN, ReLU6, pointwise, BN, ReLU6 (MobileNet, Howard et al. 2017)."""
    return nn.Sequential(
        depthwise(inputs, kernel, stride), nn.BatchNorm2d(inputs), nn.ReLU6(inplace=True),
        pointwise(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU6(inplace=True))


class Apply(nn.Module):
    """function(x): for layers that torch.nn lacks, or has without a derivative."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def blur_pool(channels, kernel, stride=2):
    """A binomial filter on the mirrored map before every `stride`-th pixel (Zhang 2019)."""
    binomial = torch.ones(1)
    for _ in range(kernel - 1):
        binomial = (functional.pad(binomial, (1, 0)) + functional.pad(binomial, (0, 1))) / 2
    weights = (binomial[:, None] * binomial).expand(channels, 1, kernel, kernel)
    padding = [kernel // 2] * 4
    return Apply(lambda x: functional.conv2d(functional.pad(x, padding, mode="reflect"), weights, stride=stride,
                                             groups=channels))


class ChannelLayerNorm(nn.Module):
    """Layer norm over the channels of each position."""

    def __init__(self, channels, epsilon=1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.epsilon = epsilon

    def forward(self, x):
        x = x.permute(0, 2, 3, 1)
        x = functional.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.epsilon)
        return x.permute(0, 3, 1, 2)


def linear(inputs, outputs, bias=False):
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, outputs, bias))


def block(inputs, outputs):
    return nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), pointwise(inputs, outputs))


HardSwish = nn.Hardswish


class HardSigmoid(nn.Module):
    """relu6(x + 3) / 6. PyTorch's own rounds the 1 / 6 of its gradient to float32 even in float64."""

    def forward(self, x):
        return functional.relu6(x + 3) / 6


class TanhExp(nn.Module):
    """x * tanh(exp(x)) (Liu & Di 2020)."""

    def forward(self, x):
        return x * torch.tanh(torch.exp(x))


class TanhExpGate(nn.Module):
    """The first half of the channels through TanhExp, times the second half."""

    def forward(self, x):
        first, second = x.chunk(2, 1)
        return first * torch.tanh(torch.exp(first)) * second


class ChannelScale(nn.Module):
    """A learned factor per channel."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x):
        return x * self.weight[:, None, None]


class Residual(nn.Module):
    """body(x) + shortcut(x), with one of the two optionally scaled per channel by a learned factor."""

    def __init__(self, body, shortcut=None, scaled=None, channels=0):
        super().__init__()
        self.body = body
        self.shortcut = shortcut if shortcut is not None else nn.Identity()
        self.scaled = scaled  # None, "body" or "shortcut"
        # A module of its own: a bare parameter would come before the body's.
        self.scale = ChannelScale(channels) if scaled else None

    def forward(self, x):
        body, shortcut = self.body(x), self.shortcut(x)
        if self.scaled == "body":
            body = self.scale(body)
        if self.scaled == "shortcut":
            shortcut = self.scale(shortcut)
        return body + shortcut


class Again(nn.Module):
    """The same module several times in a row."""

    def __init__(self, body, count):
        super().__init__()
        self.body, self.count = body, count

    def forward(self, x):
        for _ in range(self.count):
            x = self.body(x)
        return x


class Branches(nn.Module):
    """Branches that all see x, or one equal part of its channels each; concatenated or added."""

    def __init__(self, *branches, split=False, add=False):
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.split, self.add = split, add

    def forward(self, x):
        count = len(self.branches)
        parts = x.chunk(count, 1) if self.split else [x] * count
        results = [branch(part) for branch, part in zip(self.branches, parts)]
        return sum(results[1:], results[0]) if self.add else torch.cat(results, 1)


def rep_conv2d(width):
    """RepVGG's block without its activation (Ding et al. 2021)."""
    return Branches(
        nn.Sequential(conv(width, width, 3), nn.BatchNorm2d(width)),
        nn.Sequential(pointwise(width, width), nn.BatchNorm2d(width)), nn.BatchNorm2d(width), add=True)


class SqueezeExcite(nn.Module):
    """x * sigmoid(W2 relu(W1 mean(x) + b1) + b2) (Hu et al. 2018), with C / reduction inner channels."""

    def __init__(self, channels, reduction=4):
        super().__init__()
        self.reduce = pointwise(channels, channels // reduction, bias=True)
        self.activation = nn.ReLU()
        self.expand = pointwise(channels // reduction, channels, bias=True)

    def forward(self, x):
        return x * torch.sigmoid(self.expand(self.activation(self.reduce(x.mean((2, 3), keepdim=True)))))


class SoftmaxGate(nn.Module):
    """x * softmax(W mean(x) + b)"""

    def __init__(self, channels):
        super().__init__()
        self.scores = pointwise(channels, channels, bias=True)

    def forward(self, x):
        return x * torch.softmax(self.scores(x.mean((2, 3), keepdim=True)), 1)


def inverted_residual(inputs, outputs, stride=1, expansion=4):
    """Pointwise, BN, ReLU6, depthwise 3x3, BN, ReLU6, pointwise, BN; plus x where the shapes agree
    (MobileNetV2, Sandler et al. 2018)."""
    inner = inputs * expansion
    body = nn.Sequential(
        pointwise(inputs, inner), nn.BatchNorm2d(inner), nn.ReLU6(inplace=True),
        depthwise(inner, 3, stride), nn.BatchNorm2d(inner), nn.ReLU6(inplace=True),
        pointwise(inner, outputs), nn.BatchNorm2d(outputs))
    return Residual(body) if stride == 1 and inputs == outputs else body


def basic_block_sum(inputs, outputs, stride=2):
    """ResNet's basic block up to the sum, with a projected shortcut (He et al. 2016)."""
    body = nn.Sequential(
        conv(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True),
        conv(outputs, outputs, 3), nn.BatchNorm2d(outputs))
    shortcut = nn.Sequential(conv(inputs, outputs, 1, stride, padding=0), nn.BatchNorm2d(outputs))
    return Residual(body, shortcut)


def tiniest_mixer(width):
    """The four branches of a tiniest-97k block: identity, 3x3, 7x7, pooled and dilated 7x7."""
    part = width // 4
    return Branches(
        nn.Identity(), depthwise(part, 3, bias=True), depthwise(part, 7, bias=True),
        nn.Sequential(nn.AvgPool2d(3, 1, 1), depthwise(part, 7, dilation=3, bias=True)), split=True)


def tiniest_block(width):
    """One block of tiniest-97k; its input returns times a learned scale per channel."""
    body = nn.Sequential(
        tiniest_mixer(width), ChannelLayerNorm(width), pointwise(width, 2 * width, bias=True),
        TanhExpGate(), pointwise(width, width, bias=True))
    return Residual(body, scaled="shortcut", channels=width)


def mobile(image_channels, stem, blocks, classes):
    """Conv 3x3/2, BN, ReLU6, depthwise-separable `blocks` of (channels, stride), average pool, linear."""
    layers, channels = [conv(image_channels, stem, 3, 2), nn.BatchNorm2d(stem), nn.ReLU6(inplace=True)], stem
    for outputs, stride in blocks:
        layers.append(depthwise_separable(channels, outputs, stride))
        channels = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def mobile_tiny():
    """The whole-network case: mobile-98k's pattern at 32x32x3."""
    return mobile(3, 8, [(16, 1), (24, 2), (24, 1), (32, 2)], 11)
