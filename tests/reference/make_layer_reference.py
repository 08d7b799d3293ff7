#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Writes layers.safetensors: outputs, gradients and statistics of every layer, computed by PyTorch.

    /usr/bin/python3 tests/reference/make_layer_reference.py [FILE]

The cases are the rows of tests/layer_cases.hpp and the activations of AllActivations in
include/bantam/layers/activations.hpp. Cases that FILE already holds are kept as they are; the others
are computed, from seeds that depend on the case's name alone. Delete FILE to compute all.

Everything is computed and stored in float64. Maps are NHWC, parameters have PyTorch's layout. For each
case C:

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

The case `quantized` is a network that is trained for int8, QuantizedNet of tests/cpu/parity_test.cpp, by PyTorch's
fake quantization; `quantized.ranges` are the largest magnitudes of its maps.
"""

import os
import re
import sys
import zlib

import numpy as np
import torch
from torch import nn
from torch.nn import functional

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "tools", "shared"))
sys.path.insert(0, HERE)

import safetensors_io  # noqa: E402
import torch_layers as layers  # noqa: E402

# The input shapes of tests/layer_cases.hpp: [samples, height, width].
SHAPES = {"map": (2, 7, 6), "small_map": (2, 5, 4), "even_map": (2, 6, 4), "pixel": (3, 1, 1), "image": (4, 32, 32)}

KINKS = {nn.ReLU: (0,), nn.ReLU6: (0, 6), nn.LeakyReLU: (0,), nn.PReLU: (0,), nn.Hardswish: (-3, 3), layers.HardSigmoid: (-3, 3)}
# A float run must fall on the same side of every kink as this double run.
SMALLEST_DISTANCE = 2e-4


def read(*path):
    with open(os.path.join(HERE, "..", "..", *path), encoding="utf-8") as file:
        return file.read()


def activations():
    """The names in AllActivations."""
    names = re.search(r"AllActivations\s*=\s*ActivationList<([^>]*)>", read("include/bantam/layers/activations.hpp"))
    return [name.strip() for name in names.group(1).split(",")]


def cases():
    """Yields (name, module, input shape NHWC, training)."""
    names = {**vars(nn), **vars(layers)}
    for name in activations():
        yield name, names[name](), (*SHAPES["small_map"], 3), True
    # row<Layer, shape<channels>>("name", "module"[, Mode::inference])
    row = r'(\w+)<(\d+)>>\(\s*"(\w+)",\s*"([^"]*)"(,\s*Mode::inference)?\s*\)'
    for shape, channels, name, module, inference in re.findall(row, read("tests/layer_cases.hpp")):
        yield name, eval(module, names), (*SHAPES[shape], int(channels)), not inference


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


def fake_quantized_conv(x, in_scale, weight, norm, stride, groups, padding):
    """A convolution whose weights and biases, with a norm in inference mode folded in, are those of 8 bits."""
    scale, bias, mean, variance = norm
    factor = scale / (variance + 1e-5).sqrt()
    folded = weight * factor[:, None, None, None]
    shift = bias - mean * factor
    # PyTorch has the scales of channels in float32 alone, so they are numbers of float32.
    steps = (folded.detach().abs().amax((1, 2, 3)) / 127).float()
    zeros = torch.zeros(len(steps), dtype=torch.int32)
    rounded = torch.fake_quantize_per_channel_affine(folded, steps, zeros, 0, -127, 127)
    unit = in_scale * steps.double()
    shift = shift + (torch.round(shift / unit) * unit - shift).detach()
    return functional.conv2d(x, rounded, shift, stride, padding, 1, groups)


def compute_quantized(seed):
    """The tensors of the case `quantized`."""
    torch.manual_seed(seed)
    # [outputs, inputs, kernel, stride, groups, range of the output, relu]; the last range is that of the pool.
    rows = [(8, 3, 3, 2, 1, 6.0, True), (8, 1, 3, 1, 8, 2.5, False), (12, 8, 1, 1, 1, 3.0, True)]
    x = torch.randn(3, 3, 9, 8).requires_grad_()
    mean, deviation = np.float64(np.float32((0.485, 0.456, 0.406))), np.float64(np.float32((0.229, 0.224, 0.225)))
    scale = float(max(np.abs(-mean / deviation).max(), np.abs((1 - mean) / deviation).max()) / 127)
    tensors, parameters, statistics = {"input": nhwc(x)}, [], []
    y = torch.fake_quantize_per_tensor_affine(x, scale, 0, -128, 127)
    ranges = [0.0]
    for outputs, inputs, kernel, stride, groups, largest, relu in rows:
        weight = (torch.randn(outputs, inputs, kernel, kernel) / (inputs * kernel**2) ** 0.5).requires_grad_()
        norm = [(1 + 0.5 * torch.randn(outputs)).requires_grad_(), (0.5 * torch.randn(outputs)).requires_grad_()]
        running = [0.3 * torch.randn(outputs), 0.5 + torch.rand(outputs)]
        # The scales of float32, which the case's weights must have, too.
        with torch.no_grad():
            factor = (norm[0] / (running[1] + 1e-5).sqrt())[:, None, None, None]
            flat = (weight * factor).abs().flatten(1)
            steps = (flat.amax(1) / 127).float().double()
            rows_at, largest_at = torch.arange(outputs), flat.argmax(1)
            weight.view(outputs, -1)[rows_at, largest_at] *= 127 * steps / flat.amax(1)
        y = fake_quantized_conv(y, scale, weight, [*norm, *running], stride, groups, kernel // 2)
        y = torch.relu(y) if relu else y
        scale = largest / (255 if relu else 127)
        y = torch.fake_quantize_per_tensor_affine(y, scale, 0, *((0, 255) if relu else (-128, 127)))
        parameters += [weight, *norm]
        statistics += running
        ranges.append(largest)
    pooled = np.float32(1.2345)  # no mean is next to a half, which PyTorch rounds to even
    scale = min(scale, float(pooled) / 255)
    ranges.append(pooled)
    y = torch.fake_quantize_per_tensor_affine(y.mean((2, 3)), scale, 0, 0, 255)
    weight, bias = (0.3 * torch.randn(5, 12)).requires_grad_(), torch.randn(5).requires_grad_()
    with torch.no_grad():
        steps = (weight.abs().amax(1) / 127).float().double()
        weight[torch.arange(5), weight.abs().argmax(1)] *= 127 * steps / weight.abs().amax(1)
    one, zero = torch.ones(5), torch.zeros(5)
    y = fake_quantized_conv(y[:, :, None, None], scale, weight[:, :, None, None],
                            [one, bias, zero, one - 1e-5], 1, 1, 0)
    parameters += [weight, bias]
    ranges.append(0.0)
    grad_output = torch.randn(y.shape)
    y.backward(grad_output)
    tensors.update({"output": nhwc(y), "grad_output": nhwc(grad_output), "grad_input": nhwc(x.grad),
                    "ranges": np.array(ranges)})
    for index, parameter in enumerate(parameters):
        tensors[f"parameter.{index}"] = parameter.detach().numpy().copy()
        tensors[f"grad_parameter.{index}"] = parameter.grad.numpy().copy()
    for index, statistic in enumerate(statistics):
        tensors[f"statistic.{index}"] = statistic.numpy().copy()
    return tensors


def main():
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    target = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "layers.safetensors")
    stored, kept = safetensors_io.load(target) if os.path.exists(target) else ({}, {})
    everything, metadata = {}, {"format": "bantam-layer-reference/1"}
    for name, module, shape, training in cases():
        if name in kept:
            everything.update({key: values for key, values in stored.items() if key.startswith(f"{name}.")})
            metadata[name] = kept[name]
            continue
        for attempt in range(1000):
            tensors, distance = compute(name, module, shape, training, zlib.crc32(name.encode()) + attempt)
            module.zero_grad()
            if distance > SMALLEST_DISTANCE:
                break
        else:
            raise SystemExit(f"error: {name}: no seed keeps {SMALLEST_DISTANCE} away from every kink")
        assert all(np.isfinite(values).all() for values in tensors.values()), name
        everything.update({f"{name}.{key}": values for key, values in tensors.items()})
        metadata[name] = " ".join(key for key, _ in module.named_parameters())
    if "quantized" in kept:
        tensors = {key.split(".", 1)[1]: values for key, values in stored.items() if key.startswith("quantized.")}
    else:
        tensors = compute_quantized(1)
    everything.update({f"quantized.{key}": values for key, values in tensors.items()})
    metadata["quantized"] = "fake quantization"
    safetensors_io.save(target, everything, metadata)
    print(f"{target}: {len(metadata) - 1} cases, {len(everything)} tensors, {os.path.getsize(target)} bytes")


if __name__ == "__main__":
    main()
