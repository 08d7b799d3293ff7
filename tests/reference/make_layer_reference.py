#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Writes layers.safetensors: outputs, gradients and statistics of every layer, computed by PyTorch.

    /usr/bin/python3 tests/reference/make_layer_reference.py [FILE]

Everything is computed and stored in float64 from fixed seeds. Activations are NHWC, parameters have
PyTorch's layout. For each case C:

    C.input  C.output  C.grad_output  C.grad_input        [n, h, w, c]
    C.parameter.K  C.grad_parameter.K                     K-th parameter, K = 0, 1, 2, ...
    C.statistic.K  C.statistic_after.K                    running_mean, running_var per batch norm,
                                                          before and after one forward pass

Gradients are of sum(output * grad_output). mobile_tiny also has `labels` (class numbers) and `loss`
(mean cross-entropy); its grad_output is the gradient of that loss.

Order of the parameters:

    convolution, linear      weight [out, in / groups, kh, kw] or [out, in]; bias where there is one
    batch norm, layer norm   weight; bias
    several layers           one after the other, in the order of the forward pass
    residual blocks          body; then projection (convolution, batch norm); then scale [c]
    branches                 first branch, second branch, ...
    squeeze_excite           reduce weight, bias; expand weight, bias

Statistics follow the same order. The metadata entry of each case lists PyTorch's parameter names.
"""

import os
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "tools", "shared"))
sys.path.insert(0, HERE)

import safetensors_io  # noqa: E402
import torch_layers as layers  # noqa: E402

BATCH, HEIGHT, WIDTH = 2, 7, 6

KINKS = {nn.ReLU: (0,), nn.ReLU6: (0, 6), nn.LeakyReLU: (0,), nn.Hardswish: (-3, 3), layers.HardSigmoid: (-3, 3)}
# A float run must fall on the same side of every kink as this double run.
SMALLEST_DISTANCE = 2e-4


def block(inputs, outputs):
    return nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), layers.pointwise(inputs, outputs))


def linear(inputs, outputs, bias):
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, outputs, bias))


def cases():
    """Yields (name, module, input shape NHWC, training)."""
    def case(name, module, channels, size=(BATCH, HEIGHT, WIDTH), training=True):
        return name, module, (*size, channels), training

    small = (2, 5, 4)
    one_map = (3, 1, 1)

    yield case("conv_3x3_bias", layers.conv(3, 4, 3, bias=True), 3)
    yield case("conv_3x3_stride2", layers.conv(3, 4, 3, 2), 3)
    yield case("conv_5x5_padding1", layers.conv(3, 4, 5, padding=1), 3)
    yield case("conv_3x3_dilation2", layers.conv(3, 4, 3, dilation=2), 3)
    yield case("conv_groups2", layers.conv(4, 6, 3, groups=2), 4)
    yield case("conv_4x4_stride2_groups4_padding1", layers.conv(8, 12, 4, 2, 1, groups=4, bias=True), 8)
    yield case("conv_3x3_valid_no_bias", layers.conv(3, 4, 3, padding=0), 3)
    yield case("conv_7x7_stride2", layers.conv(3, 4, 7, 2), 3)
    yield case("depthwise_3x3", layers.depthwise(5, 3), 5)
    yield case("depthwise_3x3_stride2_bias", layers.depthwise(5, 3, 2, bias=True), 5)
    yield case("depthwise_7x7_dilation3_bias", layers.depthwise(3, 7, dilation=3, bias=True), 3)
    yield case("pointwise_bias", layers.pointwise(5, 7, bias=True), 5)
    yield case("pointwise_no_bias", layers.pointwise(5, 7), 5)
    yield case("depthwise_separable_stride2", layers.depthwise_separable(4, 6, 2), 4)
    yield case("inverted_residual", layers.inverted_residual(4, 4), 4)
    yield case("inverted_residual_stride2", layers.inverted_residual(4, 6, 2), 4)
    yield case("batch_norm_train", nn.BatchNorm2d(5), 5)
    yield case("batch_norm_eval", nn.BatchNorm2d(5), 5, training=False)
    yield case("layer_norm_channels", layers.ChannelLayerNorm(5), 5)
    yield case("relu", nn.ReLU(), 3, small)
    yield case("relu6", nn.ReLU6(), 3, small)
    yield case("leaky_relu", nn.LeakyReLU(0.01), 3, small)
    yield case("silu", nn.SiLU(), 3, small)
    yield case("hard_swish", nn.Hardswish(), 3, small)
    yield case("gelu", nn.GELU(), 3, small)
    yield case("tanh_exp", layers.TanhExp(), 3, small)
    yield case("tanh_exp_gate", layers.TanhExpGate(), 6, small)
    yield case("sigmoid", nn.Sigmoid(), 3, small)
    yield case("hard_sigmoid", layers.HardSigmoid(), 3, small)
    yield case("max_pool_2", nn.MaxPool2d(2), 3)
    yield case("max_pool_3_stride2_padding1", nn.MaxPool2d(3, 2, 1), 3)
    yield case("avg_pool_2", nn.AvgPool2d(2), 3)
    yield case("avg_pool_3_stride1_padding1", nn.AvgPool2d(3, 1, 1), 3)
    yield case("global_average_pool", nn.AdaptiveAvgPool2d(1), 3)
    yield case("linear_bias", linear(7, 5, bias=True), 7, one_map)
    yield case("linear_no_bias", linear(7, 5, bias=False), 7, one_map)
    yield case("residual_plain", layers.Residual(block(4, 4)), 4)
    yield case("residual_projection", layers.basic_block_sum(4, 6), 4)
    yield case("residual_scaled_body", layers.Residual(block(4, 4), scaled="body", channels=4), 4)
    yield case("residual_scaled_shortcut", layers.Residual(block(4, 4), scaled="shortcut", channels=4), 4)
    yield case("branches_concatenate",
               layers.Branches(layers.pointwise(3, 4, bias=True), layers.depthwise(3, 3, bias=True)), 3)
    yield case("branches_add",
               layers.Branches(layers.pointwise(3, 3, bias=True), layers.depthwise(3, 3, bias=True), add=True), 3)
    yield case("branches_split4", layers.tiniest_mixer(8), 8)
    yield case("squeeze_excite", layers.SqueezeExcite(8), 8)
    yield case("tiniest_block", layers.tiniest_block(8), 8)
    yield case("mobile_tiny", layers.mobile_tiny(), 3, (4, 32, 32))


def nhwc(values):
    return values.detach().permute(0, 2, 3, 1).numpy().copy()


def numbered(module, kind):
    """The module's parameters, or its running statistics, in order."""
    if kind == "parameter":
        return list(module.parameters())
    return [buffer for name, buffer in module.named_buffers() if not name.endswith("num_batches_tracked")]


def randomize(module):
    """Fills all parameters and statistics with numbers no layer would start from."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, parameter[0].numel() ** -0.5)
            else:
                parameter.copy_(1 + 0.5 * torch.randn_like(parameter))
        for statistic in numbered(module, "statistic"):
            statistic.copy_(0.5 + torch.rand_like(statistic))


def compute(name, module, shape, training, seed):
    """Returns (tensors of the case, smallest distance of an activation's input to a kink)."""
    torch.manual_seed(seed)
    module = module.double().train(training)
    randomize(module)
    distances = [np.inf]

    def watch(layer, inputs):
        for kink in KINKS[type(layer)]:
            distances.append((inputs[0] - kink).abs().min().item())

    hooks = [layer.register_forward_pre_hook(watch) for layer in module.modules() if type(layer) in KINKS]
    spread = 4.0 if type(module) in KINKS else 1.5  # reaches past 6 and below -3
    x = (spread * torch.randn(shape)).permute(0, 3, 1, 2).requires_grad_()
    tensors = {"input": nhwc(x)}
    for kind in ("parameter", "statistic"):
        for index, values in enumerate(numbered(module, kind)):
            tensors[f"{kind}.{index}"] = values.detach().numpy().copy()

    y = module(x)
    if name == "mobile_tiny":
        labels = torch.arange(shape[0]) * 3 % y.shape[1]
        y.retain_grad()
        loss = functional.cross_entropy(y, labels)
        loss.backward()
        grad_output = y.grad
        tensors["labels"], tensors["loss"] = labels.double().numpy(), loss.detach().reshape(1).numpy()
    else:
        grad_output = torch.randn(y.shape)
        y.backward(grad_output)
    if y.dim() == 2:
        y, grad_output = y[:, :, None, None], grad_output[:, :, None, None]

    tensors.update({"output": nhwc(y), "grad_output": nhwc(grad_output), "grad_input": nhwc(x.grad)})
    for index, parameter in enumerate(module.parameters()):
        tensors[f"grad_parameter.{index}"] = parameter.grad.numpy().copy()
    for index, statistic in enumerate(numbered(module, "statistic")):
        tensors[f"statistic_after.{index}"] = statistic.numpy().copy()
    for hook in hooks:
        hook.remove()
    return tensors, min(distances)


def main():
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    target = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "layers.safetensors")
    everything, metadata = {}, {"format": "bantam-layer-reference/1"}
    for number, (name, module, shape, training) in enumerate(cases()):
        for attempt in range(1000):
            tensors, distance = compute(name, module, shape, training, 1000 * number + attempt)
            module.zero_grad()
            if distance > SMALLEST_DISTANCE:
                break
        else:
            raise SystemExit(f"error: {name}: no seed keeps {SMALLEST_DISTANCE} away from every kink")
        assert all(np.isfinite(values).all() for values in tensors.values()), name
        everything.update({f"{name}.{key}": values for key, values in tensors.items()})
        metadata[name] = " ".join(key for key, _ in module.named_parameters())
    safetensors_io.save(target, everything, metadata)
    print(f"{target}: {len(metadata) - 1} cases, {len(everything)} tensors, {os.path.getsize(target)} bytes")


if __name__ == "__main__":
    main()
