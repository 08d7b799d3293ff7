#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The reference nets in PyTorch. Run it to print their parameter counts and check them."""

import os
import sys

import torch
from torch import nn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "reference"))

import torch_layers as layers  # noqa: E402


def mobile_98k(classes=11):
    blocks = [(32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (176, 2), (176, 1)]
    return layers.mobile(3, 16, blocks, classes)


def high_resolution_98k(classes=11):
    """bantam/models/residual.hpp."""
    def stage(inputs, outputs, stride, shortcuts):
        return [layers.depthwise_separable(inputs, outputs, stride, 5),
                *(layers.Residual(layers.depthwise_separable(outputs, outputs, 1, 5)) for _ in range(shortcuts))]

    return nn.Sequential(
        layers.conv(3, 16, 3, 2), nn.BatchNorm2d(16), nn.ReLU6(inplace=True), layers.depthwise_separable(16, 32),
        *stage(32, 64, 1, 1), *stage(64, 108, 2, 2), *stage(108, 148, 2, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(148, classes))


def sample_88k(classes=11):
    """The course's sample student."""
    def stage(inputs, outputs):
        return [layers.conv(inputs, outputs, 3, padding=0, bias=True),
                nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]

    return nn.Sequential(
        *stage(3, 32), *stage(32, 32), nn.MaxPool2d(2), *stage(32, 64), nn.MaxPool2d(2),
        *stage(64, 100), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(100, classes))


def resnet18(classes=10):
    import torchvision
    return torchvision.models.resnet18(num_classes=classes)


def tiniest_97k(classes=10):
    """github xvel/cifar10-tiniest, for 32x32 pictures."""
    def blocks(width):
        return [layers.tiniest_block(width) for _ in range(3)]

    return nn.Sequential(
        layers.conv(3, 48, 3, bias=True), layers.ChannelLayerNorm(48), *blocks(48),
        layers.conv(48, 80, 4, 2, 1, groups=16, bias=True), layers.ChannelLayerNorm(80), *blocks(80),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(80, classes))


# name: (function, image size, trainable parameters, running statistics)
NETS = {
    "mobile-98k": (mobile_98k, 128, 95_371, 2_784),
    "high-resolution-98k": (high_resolution_98k, 128, 95_687, 2_888),
    "sample-88k": (sample_88k, 128, 87_907, 456),
    "resnet18": (resnet18, 128, 11_181_642, 9_600),
    "tiniest-97k": (tiniest_97k, 32, 97_530, 0),
}


def count(net):
    """(trainable parameters, running statistics without the counter num_batches_tracked)."""
    trainable = sum(parameter.numel() for parameter in net.parameters())
    statistics = sum(buffer.numel() for buffer in net.buffers() if buffer.dim())
    return trainable, statistics


def main():
    wrong = 0
    for name, (make, size, *expected) in NETS.items():
        net = make().eval()
        counted = list(count(net))
        with torch.no_grad():
            classes = net(torch.zeros(1, 3, size, size)).shape[1]
        print(f"{name:19} {size}x{size}x3 -> {classes:2}  trainable {counted[0]:>10,}  statistics {counted[1]:>6,}"
              + ("" if counted == expected else f"  expected {expected}"))
        wrong += counted != expected
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
