#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Trains the student of a recipe in PyTorch, on the same pictures with the same options.

    bench/recipe_twin.py labels-alone --data DIR --output build/accuracy --seeds 1 2 3
    bench/recipe_twin.py patient --data DIR --teacher-logits logits.safetensors --output build/accuracy

Views, colors, the order of the pictures and the initial weights are drawn from Bantam's random streams, so that the
first steps agree with those of distill_food11 up to rounding. --initialization replaces the initial weights by
PyTorch's. The output folder gets twin/RECIPE/seed-N with metrics.csv, summary.txt and the kept student. Where it holds
the runs of bench/accuracy.py of the same recipe, the table that is printed at the end compares the two.

Needs PyTorch, NumPy and xxhash (Debian: python3-torch, python3-numpy, python3-xxhash).
"""

import argparse
import json
import math
import os
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(SOURCE, "tools", "shared"))

import accuracy  # noqa: E402
import homework_folders  # noqa: E402
import homework_pictures  # noqa: E402
import recipes  # noqa: E402
import safetensors_io  # noqa: E402
import torch_nets  # noqa: E402
from homework_pictures import WHOLE_VIEW, Random, drawn_view  # noqa: E402

# The options of distill_food11 that the twin has, with their defaults; and those that change no weight.
DEFAULTS = {"student": "mobile-98k", "epochs": 100, "batch-size": 64, "optimizer": "sgd", "learning-rate": 0.1,
            "momentum": 0.9, "weight-decay": 1e-4, "warmup-epochs": 2.0, "final-learning-rate": 0.01, "label-smoothing": 0.0,
            "lookahead-steps": 0, "lookahead-alpha": 0.5, "clip-norm": 5.0, "averaging-decay": 0.999, "flip": "random",
            "near-identity-depthwise": False, "distillation": "kl", "temperature": 4.0, "standardize-logits": False,
            "dkd-alpha": 1.0, "dkd-beta": 8.0, "alpha": 0.7, "alpha-where-wrong": None, "labeled-weight": 1.0,
            "unlabeled-weight": 1.0, "mixed-weight": 1.0, "stored-size": 144, "keep": "loss"}
# The loss of every evaluation, whatever is minimized (evaluation_loss_options in train/losses.hpp).
EVALUATION = DEFAULTS | {"alpha-where-wrong": DEFAULTS["alpha"]}
CHOICES = {"student": ("mobile-98k", "tiniest-97k"), "optimizer": ("sgd", "adamw", "muon"),
           "flip": ("random", "alternating"), "distillation": ("kl", "reverse-kl", "symmetric-kl", "dkd", "mse"),
           "keep": ("loss", "accuracy", "last")}
WITHOUT_EFFECT = {"no-report", "save-seconds", "id-digits", "tta"}
COLOR_RANGE = 0.2
LUMA = np.array([0.299, 0.587, 0.114])
LOGITS_FORMATS = ("bantam-teacher-logits/1", "bantam-teacher-logits/2")
# The purposes of Bantam's random streams (data/epoch.hpp and data/training_loader.hpp).
ORDER, SAMPLE, FLIP = 1, 2, 3

HEADER = ["epoch", "learning_rate", *(f"{split}_{figure}" for split in ("training", "validation") for figure in (
    "loss", "accuracy", "cross_entropy", "teacher_agreement", "distillation_loss")), "images_per_second", "seconds"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("recipe", metavar="RECIPE", help="name of a file in examples/recipes/, or a path")
    add("--data", required=True, metavar="DIR", help="folder with training/ and validation/")
    add("--teacher-logits", metavar="FILE", help="logits file of precompute_logits; without it labels alone")
    add("--output", required=True, metavar="DIR", help="folder for the runs")
    add("--seeds", type=int, nargs="+", default=[1, 2, 3], metavar="N", help="one run per seed (1 2 3)")
    add("--epochs", type=int, metavar="N", help="in place of the recipe's")
    add("--image-size", type=int, default=128, metavar="N", help="side of the pictures that the student sees (128)")
    add("--initialization", default="bantam", choices=("bantam", "pytorch", "torchvision"),
        help="initial weights: Bantam's, those of PyTorch's modules, or those of torchvision's MobileNet (bantam)")
    add("--threads", type=int, default=os.cpu_count() or 1, metavar="N", help="CPU threads (all)")
    add("--device", default="cpu", choices=("cpu", "cuda"), help="where the student runs (cpu)")
    return parser.parse_args()


def settings_of(recipe, epochs):
    """The twin's options: the recipe's, or the defaults."""
    settings = dict(DEFAULTS)
    for option, value in recipe.options["distill_food11"].items():
        if option in WITHOUT_EFFECT:
            continue
        if option not in settings:
            raise accuracy.Refusal(f"{recipe.path}: [distill_food11] {option}: the twin has no such option; it has "
                                   + ", ".join(settings))
        try:
            default = settings[option]
            settings[option] = True if default is False else (float if default is None else type(default))(value)
        except (TypeError, ValueError):
            raise accuracy.Refusal(f"{recipe.path}: [distill_food11] {option} is {value}; it must be a number") from None
    if settings["alpha-where-wrong"] is None:
        settings["alpha-where-wrong"] = settings["alpha"]
    for option, choices in CHOICES.items():
        if settings[option] not in choices:
            raise accuracy.Refusal(f"{recipe.path}: [distill_food11] {option} is {settings[option]}; the twin has "
                                   + ", ".join(choices))
    if epochs:
        settings["epochs"] = epochs
    if "warmup-epochs" not in recipe.options["distill_food11"]:
        settings["warmup-epochs"] = min(settings["warmup-epochs"], settings["epochs"] / 2)
    return settings


# --------------------------------------------------------------------------------------------- data

class Pictures:
    """Pictures in memory, as bytes [picture, size, size, 3] on the device, with their labels; -1: none."""

    def __init__(self, data, splits, size, device):
        pixels, self.labels, self.paths = [], [], []
        with homework_pictures.PictureReader(size) as reader:
            for split in splits:
                for path, label in split:
                    try:
                        pixels.append(reader.read(os.path.join(data, path)))
                    except homework_folders.PictureError as error:
                        print(f"note: {os.path.join(data, path)} {error}; it is left out", file=sys.stderr)
                        continue
                    self.labels.append(-1 if label is None else label)
                    self.paths.append(path)
        self.pixels = torch.from_numpy(np.stack(pixels)).to(device)

    def __len__(self):
        return len(self.labels)


class Teacher:
    """The stored logits [image, view, class], views [image, view, 8], and what is mixed into the last views: images
    [image, mixed view] and parameters [image, mixed view, 13]. Format 1 has no colors and no mixes."""

    def __init__(self, path):
        tensors, metadata = safetensors_io.load(path)
        if metadata.get("format") not in LOGITS_FORMATS:
            raise accuracy.Refusal(f"{path}: has the format '{metadata.get('format')}', the twin reads "
                                   f"{' and '.join(LOGITS_FORMATS)}")
        self.path, self.paths = path, json.loads(metadata["paths"])
        self.stored_size = json.loads(metadata["preprocessing"])["stored_size"]
        self.logits = torch.from_numpy(np.array(tensors["logits"], np.float32))
        self.views = np.ones((*self.logits.shape[:2], 8), np.float32)
        self.views[..., :tensors["views"].shape[2]] = tensors["views"]
        self.partners, self.mixes = tensors.get("partners"), tensors.get("mixes")

    def mix(self, image, view):
        """The second image of a view and its 13 parameters, or None."""
        mixed = -1 if self.mixes is None else view - (self.views.shape[1] - self.mixes.shape[1])
        return (int(self.partners[image, mixed]), np.array(self.mixes[image, mixed], np.float32)) if mixed >= 0 else None

    def require(self, paths):
        if self.paths != paths:
            raise accuracy.Refusal(f"{self.path}: does not match the pictures; create it again with precompute_logits")


def random_color(random):
    """A random change_colors."""
    return change_colors(*(float(np.float32(random.uniform(1 - float(np.float32(COLOR_RANGE)),
                                                           1 + float(np.float32(COLOR_RANGE))))) for _ in range(3)))


def change_colors(brightness, contrast, saturation):
    """Matrix and offset of a change of colors in [0, 1] (data/color.hpp)."""
    matrix = brightness * contrast * (saturation * np.eye(3) + (1 - saturation) * LUMA[None, :])
    return matrix, np.full(3, 0.5 * (1 - contrast))


NORMALIZE = (np.diag(1 / np.array(homework_pictures.DEVIATION)),
             -np.array(homework_pictures.MEAN) / np.array(homework_pictures.DEVIATION))


def epoch_order(seed, epoch, count):
    order = list(range(count))
    random = Random(seed, random_bits(ORDER, epoch, 0))
    for index in range(count, 1, -1):
        other = random.bits() % index
        order[index - 1], order[other] = order[other], order[index - 1]
    return order


def random_bits(seed, stream, counter):
    random = Random(seed, stream)
    random.counter = counter
    return random.bits()


def cut(pixels, views, colors, size):
    """Cuts a view out of each stored picture and maps its colors: float [picture, 3, size, size].

    `pixels` is [picture, stored, stored, 3]; `views` [picture, 5 or more]; `colors` pairs of matrix and offset."""
    device, stored = pixels.device, pixels.shape[1]

    def axis(start, extent, flipped):
        first, second, weight = zip(*(homework_pictures.positions(float(s), float(e), size, stored)
                                      for s, e in zip(start, extent)))
        first, second, weight = np.stack(first), np.stack(second), np.stack(weight).astype(np.float32)
        for values in (first, second, weight):
            values[flipped] = values[flipped, ::-1]
        return (torch.from_numpy(values).to(device) for values in (first, second, weight))

    never = np.zeros(len(views), bool)
    y0, y1, fy = axis(views[:, 0], views[:, 2], never)
    x0, x1, fx = axis(views[:, 1], views[:, 3], views[:, 4] == 1)
    picture = torch.arange(len(views), device=device)[:, None]
    upper, lower = pixels[picture, y0].float(), pixels[picture, y1].float()
    rows = (upper + (lower - upper) * fy[:, :, None, None]).transpose(1, 2)  # [picture, column, row, 3]
    left, right = rows[picture, x0], rows[picture, x1]
    result = (left + (right - left) * fx[:, :, None, None]).transpose(1, 2)
    matrix = torch.tensor(np.stack([m for m, _ in colors]), dtype=torch.float32, device=device)
    offset = torch.tensor(np.stack([o for _, o in colors]), dtype=torch.float32, device=device)
    return (torch.einsum("bhwc,bdc->bdhw", result / 255, matrix) + offset[:, :, None, None]).contiguous()


def compose(first, second):
    return second[0] @ first[0], second[0] @ first[1] + second[1]


def stored_colors(view):
    """What the network sees of a stored view's colors."""
    return compose(change_colors(*(float(factor) for factor in view[5:8])), NORMALIZE)


def mix_in(pixels, others, mixes):
    """Mixes each picture of `others` into that of `pixels`, as SamplePlan does: weight and box (top, left, height, width)
    of `mixes` [picture, 5]."""
    size = pixels.shape[2]
    weight, top, left, height, width = (torch.from_numpy(column)[:, None].to(pixels.device)
                                        for column in np.ascontiguousarray(mixes.T))
    center = torch.arange(size, dtype=torch.float32, device=pixels.device)[None, :] + 0.5
    rows = (center >= top * size) & (center < (top + height) * size)
    columns = (center >= left * size) & (center < (left + width) * size)
    weight = (weight[:, :, None] * (rows[:, :, None] & columns[:, None, :]))[:, None]
    return pixels * (1 - weight) + others * weight


def training_batches(pictures, teacher, settings, seed, epoch, size):
    """(pixels, labels, teacher logits or None, what is mixed) of each batch of an epoch, as data/training_loader.hpp makes
    them."""
    order = epoch_order(seed, epoch, len(pictures))
    count = batch_count(len(pictures), settings["batch-size"])
    for index in range(count):
        chosen = order[index * len(order) // count:(index + 1) * len(order) // count]
        views, colors, rows, mixes = [], [], [], {}
        for place, sample in enumerate(chosen):
            random = Random(seed, random_bits(SAMPLE, epoch, sample))
            if teacher:
                row = (sample, random.bits() % teacher.views.shape[1])
                rows.append(row)
                views.append(teacher.views[row])
                colors.append(stored_colors(teacher.views[row]))
                if mixed := teacher.mix(*row):
                    mixes[place] = mixed
            else:
                view = drawn_view(random)
                if settings["flip"] == "alternating":
                    view[4] = (random_bits(seed, FLIP, sample) + epoch) % 2
                views.append(view)
                colors.append(compose(random_color(random), NORMALIZE))
        pixels = cut(pictures.pixels[chosen], np.stack(views), colors, size)
        is_mixed = torch.tensor([place in mixes for place in range(len(chosen))], device=pixels.device)
        if mixes:
            images, parameters = zip(*mixes.values())
            others = cut(pictures.pixels[list(images)], np.stack(parameters), [stored_colors(each) for each in parameters],
                         size)
            pixels[is_mixed] = mix_in(pixels[is_mixed], others, np.stack(parameters)[:, 8:])
        logits = torch.stack([teacher.logits[row] for row in rows]).to(pixels.device) if teacher else None
        labels = torch.tensor([pictures.labels[sample] for sample in chosen], device=pixels.device)
        yield pixels, labels.masked_fill(is_mixed, -1), logits, is_mixed


def validation_batches(pictures, teacher, first_row, size):
    for begin in range(0, len(pictures), 64):
        end = min(begin + 64, len(pictures))
        pixels = cut(pictures.pixels[begin:end], np.stack([WHOLE_VIEW] * (end - begin)), [NORMALIZE] * (end - begin), size)
        logits = teacher.logits[first_row + begin:first_row + end, 0].to(pixels.device) if teacher else None
        labels = torch.tensor(pictures.labels[begin:end], device=pixels.device)
        yield pixels, labels, logits, torch.zeros_like(labels, dtype=torch.bool)


def batch_count(samples, batch_size):
    batches = -(-samples // batch_size)
    return batches if batch_size == 1 else max(min(batches, samples // 2), 1)


# ------------------------------------------------------------------------------------------ network

def tensors_of(net):
    """Name -> tensor in the order of Bantam's tensor table."""
    return {name: values for name, values in net.state_dict().items() if not name.endswith("num_batches_tracked")}


def uniforms(seed, number, count):
    """The first uniform numbers of a stream, as class Random draws them, for many at once."""
    key = np.uint64(Random(seed, number).key)
    with np.errstate(over="ignore"):
        bits = key + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(homework_pictures.GOLDEN)
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        bits ^= bits >> np.uint64(31)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0 ** -53


def initialize_as_bantam(net, seed):
    """Convolutions: normal with variance 2 / fan-out, where a depthwise one counts all channels; linear layers and their
    biases: uniform within 1 / sqrt(fan-in); biases of convolutions 0, norms 1 and 0. Every tensor has its own stream."""
    modules = dict(net.named_modules())
    for number, (name, values) in enumerate(tensors_of(net).items()):
        module, kind = modules[name.rpartition(".")[0]], name.rpartition(".")[2]
        if isinstance(module, nn.Conv2d) and kind == "weight":
            groups = 1 if module.groups == module.in_channels else module.groups
            fan = module.out_channels * module.kernel_size[0] * module.kernel_size[1] / groups
            drawn = uniforms(seed, number, 2 * values.numel())
            normal = np.sqrt(-2 * np.log(1 - drawn[::2])) * np.cos(2 * math.pi * drawn[1::2])
            drawn = math.sqrt(2 / fan) * normal
        elif isinstance(module, nn.Linear):
            bound = 1 / math.sqrt(module.in_features)
            drawn = bound * (2 * uniforms(seed, number, values.numel()) - 1)
        else:
            drawn = np.full(values.numel(), float(kind in ("weight", "running_var")))
        values.copy_(torch.from_numpy(drawn.reshape(values.shape)).float())


def initialize(net, kind, seed, near_identity_depthwise=False):
    if kind == "bantam":
        initialize_as_bantam(net, seed)
    if kind == "torchvision":  # torchvision.models.mobilenetv2
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 0.01)
                nn.init.zeros_(module.bias)
    if near_identity_depthwise:
        for module in net.modules():
            if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1:
                height, width = module.kernel_size
                with torch.no_grad():
                    module.weight[:, :, height // 2, width // 2] += 1


class Muon(torch.optim.Optimizer):
    """Muon's step of matrices (train/optimizers/muon.hpp), for weights [rows, columns] or [rows, columns, 1, 1]."""

    def step(self):
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for parameter in group["params"]:
                moment = self.state[parameter].setdefault("moment", torch.zeros_like(parameter))
                moment.lerp_(parameter.grad, 1 - momentum)
                direction = orthogonalized((parameter.grad * (1 - momentum) + moment * momentum).flatten(1))
                parameter.mul_(1 - rate * group["weight_decay"])
                parameter.sub_(0.2 * rate * math.sqrt(max(direction.shape)) * direction.view_as(parameter))


def orthogonalized(matrix):
    """Five steps of the quintic Newton-Schulz iteration (train/optimizers/orthogonalize.hpp)."""
    x = matrix / (matrix.norm() + 1e-7)
    if x.shape[0] < x.shape[1]:
        return orthogonalized(matrix.T).T
    for _ in range(5):
        gram = x.T @ x
        x = 3.4445 * x + x @ (-4.7750 * gram + 2.0315 * gram @ gram)
    return x


class Optimizer:
    """What a recipe chooses: SGD, AdamW, or Muon with AdamW for what is no matrix; with Lookahead where it has steps."""

    def __init__(self, net, settings):
        # Biases, norms and learned scales have one dimension and no decay.
        parameters = list(net.parameters())
        rate, decay, momentum = settings["learning-rate"], settings["weight-decay"], settings["momentum"]
        matrices = [p for p in parameters if p.dim() > 1 and p[0, 0].numel() == 1 and min(p.shape[:2]) > 1]
        if settings["optimizer"] != "muon":
            matrices = []
        groups = [{"params": [p for p in parameters if p.dim() > 1 and all(p is not m for m in matrices)],
                   "weight_decay": decay},
                  {"params": [p for p in parameters if p.dim() == 1], "weight_decay": 0.0}]
        if settings["optimizer"] == "sgd":
            self.parts = [torch.optim.SGD(groups, rate, momentum, nesterov=momentum > 0)]
        else:
            self.parts = [torch.optim.AdamW(groups, rate)]
        if matrices:
            self.parts.append(Muon(matrices, {"lr": rate, "momentum": momentum, "weight_decay": decay}))
        self.parameters, self.settings, self.steps = parameters, settings, 0
        self.slow = [p.detach().clone() for p in parameters] if settings["lookahead-steps"] else []

    @torch.no_grad()
    def step(self, rate):
        """One step with the parameters' gradients, which are cleared."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = rate
            part.step()
            part.zero_grad(set_to_none=True)
        self.steps += 1
        if self.slow and self.steps % self.settings["lookahead-steps"] == 0:
            for slow, fast in zip(self.slow, self.parameters):
                fast.copy_(slow.lerp_(fast, self.settings["lookahead-alpha"]))


def learning_rate(settings, step, steps_per_epoch):
    warmup, total = math.floor(settings["warmup-epochs"] * steps_per_epoch + 0.5), settings["epochs"] * steps_per_epoch
    if step < warmup:
        return settings["learning-rate"] * (step + 1) / warmup
    height = 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))
    final = settings["final-learning-rate"]
    return settings["learning-rate"] * (final + (1 - final) * height)


# ------------------------------------------------------------------------------------ loss and epoch

def divergence(first, second):
    """KL(first ‖ second) of each row of log probabilities."""
    return functional.kl_div(second, first, reduction="none", log_target=True).sum(1)


def distillation_loss(logits, teacher, labels, settings):
    """The distillation loss of each sample, by the formulas of train/distillation.hpp."""
    kind, temperature = settings["distillation"], settings["temperature"]
    target = torch.where(labels >= 0, labels, teacher.argmax(1))
    if settings["standardize-logits"]:
        logits, teacher = (functional.layer_norm(each, each.shape[1:]) for each in (logits, teacher))
    if kind == "mse":
        return functional.mse_loss(logits, teacher, reduction="none").mean(1)
    if kind == "dkd":
        is_target = functional.one_hot(target, logits.shape[1]).bool()

        def parts(values):
            """log probabilities of target and others [sample, 2], and those among the others [sample, classes - 1]."""
            values = functional.log_softmax(values / temperature, 1)
            others = values[~is_target].view(len(values), -1)
            total = others.logsumexp(1, keepdim=True)
            return torch.cat([values[is_target][:, None], total], 1), others - total
        (binary, among), (teacher_binary, teacher_among) = parts(logits), parts(teacher)
        result = settings["dkd-alpha"] * divergence(teacher_binary, binary) + settings["dkd-beta"] * divergence(
            teacher_among, among)
    else:
        student, soft = (functional.log_softmax(each / temperature, 1) for each in (logits, teacher))
        forward = {"kl": 1.0, "reverse-kl": 0.0, "symmetric-kl": 0.5}[kind]
        result = forward * divergence(soft, student) + (1 - forward) * divergence(student, soft)
    return temperature ** 2 * result


class Sums:
    """Sums over the samples of an epoch, as LossSums of train/losses.hpp."""

    def __init__(self):
        self.count = self.labeled = self.taught = 0
        self.weight = self.loss = self.cross_entropy = self.distillation = self.correct = self.agree = 0.0

    def loss_of(self, logits, labels, teacher, mixed, settings, smoothing):
        """Adds a batch; returns its mean loss."""
        labeled = labels >= 0
        entropy = functional.cross_entropy(logits, labels, ignore_index=-1, reduction="none", label_smoothing=smoothing)
        label_weight = labeled.float()
        loss = label_weight * entropy
        guess = logits.argmax(1)
        if teacher is not None:
            distillation = distillation_loss(logits, teacher, labels, settings)
            answer = teacher.argmax(1)
            alpha = torch.where(answer == labels, settings["alpha"], settings["alpha-where-wrong"])
            alpha = torch.where(labeled, alpha, 1.0)
            loss = label_weight * (1 - alpha) * entropy + alpha * distillation
            self.taught += len(logits)
            self.distillation += distillation.sum().item()
            self.agree += (guess == answer).sum().item()
        weights = torch.where(labeled, settings["labeled-weight"], settings["unlabeled-weight"])
        weights = torch.where(mixed, settings["mixed-weight"], weights)
        loss = weights * loss
        self.count += len(logits)
        self.weight += weights.sum().item()
        self.labeled += labeled.sum().item()
        self.correct += (labeled & (guess == labels)).sum().item()
        self.cross_entropy += (label_weight * entropy).sum().item()
        self.loss += loss.sum().item()
        return loss.sum() / weights.sum()

    def figures(self):
        """In the order of metrics.csv; None where no sample has the figure."""
        def mean(total, count):
            return total / count if count else None
        return [mean(self.loss, self.weight), mean(self.correct, self.labeled), mean(self.cross_entropy, self.labeled),
                mean(self.agree, self.taught), mean(self.distillation, self.taught)]


class WeightAverage:
    """Moving average of parameters and statistics with decay min(decay, (1 + n) / (10 + n)) (train/averaging.hpp)."""

    def __init__(self, net, decay):
        self.decay, self.updates = decay, 0
        self.values = {name: values.clone() for name, values in tensors_of(net).items()}

    def add(self, net):
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for name, values in tensors_of(net).items():
            self.values[name].lerp_(values, 1 - decay)


def train(settings, pictures, validation, teacher, classes, seed, options, on_epoch):
    """Calls `on_epoch(row of metrics.csv, averaged tensors)` after each epoch."""
    torch.manual_seed(seed)
    make = {"mobile-98k": torch_nets.mobile_98k, "tiniest-97k": torch_nets.tiniest_97k}[settings["student"]]
    # Not in channels_last, in which batch norm of PyTorch 1.13 on the CPU is so inexact in float32 that gradients are off
    # by 5 to 10 %; in the default format they are off by 0.4 %, Bantam's by 0.2 %.
    net, averaged = (make(classes).to(options.device) for _ in range(2))
    initialize(net, options.initialization, seed, settings["near-identity-depthwise"])
    optimizer = Optimizer(net, settings)
    average = WeightAverage(net, settings["averaging-decay"]) if settings["averaging-decay"] else None
    steps_per_epoch, step = batch_count(len(pictures), settings["batch-size"]), 0
    for epoch in range(settings["epochs"]):
        began, training, checked = time.monotonic(), Sums(), Sums()
        rate = learning_rate(settings, step, steps_per_epoch)
        net.train()
        for pixels, *answers in training_batches(pictures, teacher, settings, seed, epoch, options.image_size):
            training.loss_of(net(pixels), *answers, settings, settings["label-smoothing"]).backward()
            if settings["clip-norm"]:
                nn.utils.clip_grad_norm_(net.parameters(), settings["clip-norm"])
            optimizer.step(learning_rate(settings, step, steps_per_epoch))
            if average:
                average.add(net)
            step += 1
        trained = time.monotonic()
        kept = average.values if average else tensors_of(net)
        averaged.load_state_dict(kept, strict=False)
        averaged.eval()
        with torch.no_grad():
            for pixels, *answers in validation_batches(validation, teacher, len(pictures), options.image_size):
                checked.loss_of(averaged(pixels), *answers, EVALUATION, 0.0)
        now = time.monotonic()
        on_epoch(dict(zip(HEADER, [epoch + 1, rate, *training.figures(), *checked.figures(),
                                   training.count / (trained - began), now - began])), kept)


# --------------------------------------------------------------------------------------------- runs

def run(settings, pictures, validation, teacher, classes, seed, options, folder):
    os.makedirs(folder, exist_ok=True)
    rows, best, kept_epoch = [], None, 0

    def on_epoch(row, tensors):
        nonlocal best, kept_epoch
        rows.append(row)
        score = {"loss": -row["validation_loss"], "accuracy": row["validation_accuracy"],
                 "last": row["epoch"]}[settings["keep"]]
        if best is None or score > best:
            best, kept_epoch = score, row["epoch"]
            safetensors_io.save(os.path.join(folder, "student.safetensors"),
                                {name: values.cpu().contiguous().numpy() for name, values in tensors.items()}, {})
        accuracy.write_rows(os.path.join(folder, "metrics.csv"), [
            {name: "" if value is None else f"{value:.6g}" for name, value in row.items()} for row in rows])
        print(f"seed {seed}  epoch {row['epoch']}/{settings['epochs']}  loss {row['training_loss']:.4f}  validation "
              f"{100 * row['validation_accuracy']:.2f} %  {row['seconds']:.1f} s", flush=True)

    train(settings, pictures, validation, teacher, classes, seed, options, on_epoch)
    with open(os.path.join(folder, "summary.txt"), "w", encoding="utf-8") as file:
        file.write(f"kept: epoch {kept_epoch}, chosen by {settings['keep']}\n")


def measure(options):
    torch.set_num_threads(options.threads)
    recipe = recipes.read(options.recipe)
    settings = settings_of(recipe, options.epochs)
    classes, splits = homework_folders.list_pictures(options.data)
    taught = options.teacher_logits is not None
    if taught != recipe.has_logits():
        raise accuracy.Refusal(f"{recipe.path}: " + ("learns from the labels alone; leave out --teacher-logits" if taught
                                                     else "needs a teacher; name its logits with --teacher-logits"))
    teacher = Teacher(options.teacher_logits) if taught else None
    size = teacher.stored_size if taught else settings["stored-size"]
    training = [splits["labeled"], *([splits["unlabeled"]] if taught else [])]
    pictures = Pictures(options.data, training, size, options.device)
    validation = Pictures(options.data, [splits["validation"]], size, options.device)
    if taught:
        teacher.require(pictures.paths + validation.paths)
    name = recipe.name if options.initialization == "bantam" else f"{recipe.name}-{options.initialization}"
    twins = [accuracy.RunFolder(os.path.join(options.output, "twin", name, f"seed-{seed}"), f"{name}, PyTorch", seed)
             for seed in options.seeds]
    for twin in twins:
        if not twin.finished():
            run(settings, pictures, validation, teacher, len(classes), twin.seed, options, twin.folder)
    ours = [accuracy.RunFolder(os.path.join(options.output, "runs", recipe.name, f"seed-{seed}"), f"{recipe.name}, Bantam", seed)
            for seed in options.seeds]
    groups = [[each.result() for each in group if each.finished()] for group in (twins, ours)]
    print("\n" + accuracy.markdown([group for group in groups if group], len(validation), "of validation/"), end="")


def main():
    options = arguments()
    try:
        measure(options)
    except (accuracy.Refusal, recipes.RecipeError, homework_folders.PictureError, homework_pictures.DecoderError,
            safetensors_io.SafetensorsError) as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        print(f"error: {error.filename or options.output}: {error.strerror or error}", file=sys.stderr)
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
