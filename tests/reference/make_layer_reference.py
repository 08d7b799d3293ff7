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
SHAPES = {"map": (2, 7, 6), "small_map": (2, 5, 4), "pixel": (3, 1, 1), "image": (4, 32, 32)}

KINKS = {nn.ReLU: (0,), nn.ReLU6: (0, 6), nn.LeakyReLU: (0,), nn.Hardswish: (-3, 3), layers.HardSigmoid: (-3, 3)}
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
    safetensors_io.save(target, everything, metadata)
    print(f"{target}: {len(metadata) - 1} cases, {len(everything)} tensors, {os.path.getsize(target)} bytes")


if __name__ == "__main__":
    main()
