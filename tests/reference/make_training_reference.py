#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes training_reference.hpp: what PyTorch says about losses, optimizers, clipping and schedules.

Everything is computed in double. Run it with Debian's python3-torch beside this file:

    /usr/bin/python3 tests/reference/make_training_reference.py
"""

import pathlib

import torch
import torch.nn.functional as F

SAMPLES, CLASSES = 6, 5
TEMPERATURE, ALPHA, SMOOTHING = 3.0, 0.6, 0.1
DKD_ALPHA, DKD_BETA = 0.5, 4.0
STEPS, DECAYED, PLAIN = 8, 7, 5
MUON_STEPS = 4
CLIP_NORM, AVERAGING_DECAY = 2.0, 0.9
RATES = [0.02, 0.05, 0.05, 0.1, 0.1, 0.07, 0.03, 0.01]


def rows(tensor):
    return [float(value) for value in tensor.detach().reshape(-1)]


def losses(generator, emit):
    def draw(scale):
        # Exact in single precision, so that float and double checks start from the same numbers.
        return (scale * torch.randn(SAMPLES, CLASSES, generator=generator)).float().double()

    logits, teacher = draw(2.0), draw(3.0)
    labels = torch.tensor([2, -1, 0, 4, -1, 3])
    taught = torch.tensor([1, 1, 0, 1, 1, 0])
    emit("logits", rows(logits))
    emit("teacher_logits", rows(teacher))
    emit("labels", labels.tolist(), "std::int32_t")
    emit("has_teacher", taught.tolist(), "std::uint8_t")

    # Every sample with label and teacher: the textbook expression on the whole batch.
    all_labels = torch.tensor([2, 1, 0, 4, 1, 3])
    student = logits.clone().requires_grad_()
    divergence = TEMPERATURE**2 * F.kl_div(
        F.log_softmax(student / TEMPERATURE, dim=1), F.softmax(teacher / TEMPERATURE, dim=1),
        reduction="batchmean")
    entropy = F.cross_entropy(student, all_labels, label_smoothing=SMOOTHING)
    loss = ALPHA * divergence + (1 - ALPHA) * entropy
    loss.backward()
    emit("all_labels", all_labels.tolist(), "std::int32_t")
    emit("full_loss", [float(loss), float(entropy), float(divergence)])
    emit("full_gradient", rows(student.grad))

    # Some samples lack the label, some the teacher: sample by sample, then the mean.
    student = logits.clone().requires_grad_()
    entropies, divergences, total = [], [], 0.0
    for index in range(SAMPLES):
        one = student[index:index + 1]
        terms = []
        if labels[index] >= 0:
            terms.append(F.cross_entropy(one, labels[index:index + 1], label_smoothing=SMOOTHING))
            entropies.append(float(terms[-1]))
        if taught[index]:
            terms.append(TEMPERATURE**2 * F.kl_div(
                F.log_softmax(one / TEMPERATURE, dim=1),
                F.log_softmax(teacher[index:index + 1] / TEMPERATURE, dim=1),
                reduction="sum", log_target=True))
            divergences.append(float(terms[-1]))
        total = total + (terms[0] if len(terms) == 1
                         else (1 - ALPHA) * terms[0] + ALPHA * terms[1])
    (total / SAMPLES).backward()
    emit("mixed_sums", [float(total), sum(entropies), sum(divergences)])
    emit("mixed_gradient", rows(student.grad))
    distillations(emit, logits, teacher, labels)


def distillations(emit, logits, teacher, labels):
    """The sum over the samples of each distillation loss, plain and of z-scores, and its gradient."""
    def kl(log_p, log_q):
        return F.kl_div(log_q, log_p, reduction="sum", log_target=True)

    def softened(student, target):
        return F.log_softmax(target / TEMPERATURE, dim=1), F.log_softmax(student / TEMPERATURE, dim=1)

    def decoupled(student, target):
        answers = torch.where(labels >= 0, labels, teacher.argmax(dim=1))
        is_target = F.one_hot(answers, CLASSES).bool()
        parts = []
        for logits in (target, student):
            likely = F.softmax(logits / TEMPERATURE, dim=1)
            chosen = likely[is_target]
            others = (logits / TEMPERATURE)[~is_target].reshape(SAMPLES, CLASSES - 1)
            parts.append((torch.stack([chosen, 1 - chosen], dim=1).log(), F.log_softmax(others, dim=1)))
        (target_binary, target_others), (binary, others) = parts
        return TEMPERATURE**2 * (DKD_ALPHA * kl(target_binary, binary) + DKD_BETA * kl(target_others, others))

    kinds = {
        "kl": lambda s, t: TEMPERATURE**2 * kl(*softened(s, t)),
        "reverse_kl": lambda s, t: TEMPERATURE**2 * kl(*reversed(softened(s, t))),
        "symmetric_kl": lambda s, t: TEMPERATURE**2 / 2 * (kl(*softened(s, t)) + kl(*reversed(softened(s, t)))),
        "dkd": decoupled,
        "mse": lambda s, t: F.mse_loss(s, t, reduction="none").mean(dim=1).sum(),
    }
    emit("kl_divergence", [float(kl(F.log_softmax(teacher, dim=1), F.log_softmax(logits, dim=1)))])
    for name, loss in kinds.items():
        values, gradients = [], []
        for standardized in (False, True):
            student = logits.clone().requires_grad_()
            sides = student, teacher
            if standardized:
                sides = [F.layer_norm(side, (CLASSES,), eps=1e-5) for side in sides]
            value = loss(*sides)
            value.backward()
            values.append(float(value))
            gradients += rows(student.grad)
        emit(name, values)
        emit(name + "_gradients", gradients)


def optimizers(generator, emit):
    count = DECAYED + PLAIN
    start = torch.randn(count, generator=generator).float().double()
    gradients = torch.randn(STEPS, count, generator=generator).float().double()
    emit("start", rows(start))
    emit("gradients", rows(gradients))
    emit("rates", RATES)
    emit("gradient_norms", rows(gradients.norm(dim=1)))

    def trajectory(name, make):
        decayed = start[:DECAYED].clone().requires_grad_()
        plain = start[DECAYED:].clone().requires_grad_()
        optimizer = make(decayed, plain)
        average = start.clone()
        path, averages = [], []
        for step in range(STEPS):
            decayed.grad = gradients[step, :DECAYED].clone()
            plain.grad = gradients[step, DECAYED:].clone()
            torch.nn.utils.clip_grad_norm_([decayed, plain], CLIP_NORM)
            for group in optimizer.param_groups:
                group["lr"] = RATES[step]
            optimizer.step()
            now = torch.cat([decayed, plain]).detach()
            decay = min(AVERAGING_DECAY, (1 + step) / (10 + step))
            average = decay * average + (1 - decay) * now
            path += rows(now)
            averages += rows(average)
        emit(name + "_path", path)
        emit(name + "_averages", averages)

    def groups(decayed, plain, weight_decay):
        return [{"params": [decayed], "weight_decay": weight_decay},
                {"params": [plain], "weight_decay": 0.0}]

    trajectory("nesterov", lambda a, b: torch.optim.SGD(
        groups(a, b, 0.03), lr=1.0, momentum=0.9, nesterov=True))
    trajectory("momentum", lambda a, b: torch.optim.SGD(
        groups(a, b, 0.03), lr=1.0, momentum=0.8))
    trajectory("adamw", lambda a, b: torch.optim.AdamW(
        groups(a, b, 0.2), lr=1.0, betas=(0.85, 0.97), eps=1e-6))
    trajectory("lookahead", lambda a, b: Lookahead(torch.optim.SGD(
        groups(a, b, 0.03), lr=1.0, momentum=0.9, nesterov=True), 3, 0.6))


class Lookahead:
    """Zhang et al., 2019, around any optimizer."""

    def __init__(self, optimizer, steps, alpha):
        self.optimizer, self.steps, self.alpha, self.taken = optimizer, steps, alpha, 0
        self.slow = [parameter.detach().clone() for parameter in self.parameters()]

    @property
    def param_groups(self):
        return self.optimizer.param_groups

    def parameters(self):
        return [parameter for group in self.param_groups for parameter in group["params"]]

    @torch.no_grad()
    def step(self):
        self.optimizer.step()
        self.taken += 1
        if self.taken % self.steps == 0:
            for slow, parameter in zip(self.slow, self.parameters()):
                slow += self.alpha * (parameter - slow)
                parameter.copy_(slow)


def orthogonalized(matrix):
    """The quintic Newton-Schulz iteration of Muon (Jordan et al., 2024) in double."""
    x = matrix / (matrix.norm() + 1e-7)
    if x.size(0) > x.size(1):
        x = x.T
    for _ in range(5):
        product = x @ x.T
        x = 3.4445 * x + (-4.7750 * product + 2.0315 * product @ product) @ x
    return x.T if matrix.size(0) > matrix.size(1) else x


@torch.no_grad()
def muon(emit):
    """Muon with Nesterov momentum on a tall, a wide and a square matrix, which lie between other parameters that
    AdamW steps; steps have the root mean square of AdamW's (Liu et al., 2025)."""
    generator = torch.Generator().manual_seed(21)
    momentum, decay = 0.95, 0.2
    shapes = [(3,), (6, 4), (2,), (3, 5), (4, 4), (5,)]
    decayed = [True, True, False, True, True, False]

    def draw(shape):
        return torch.randn(shape, generator=generator).float().double()

    parameters = [draw(shape).requires_grad_() for shape in shapes]
    matrices = [parameter for parameter in parameters if parameter.dim() == 2]
    buffers = [torch.zeros_like(matrix) for matrix in matrices]
    others = torch.optim.AdamW(
        [{"params": [parameter], "weight_decay": decay if decays else 0.0}
         for parameter, decays in zip(parameters, decayed) if parameter.dim() != 2],
        lr=1.0, betas=(0.85, 0.97), eps=1e-6)
    emit("muon_start", [value for parameter in parameters for value in rows(parameter)])
    all_gradients, path = [], []
    for rate in RATES[:MUON_STEPS]:
        for parameter in parameters:
            parameter.grad = draw(parameter.shape)
            all_gradients += rows(parameter.grad)
        for group in others.param_groups:
            group["lr"] = rate
        others.step()
        for matrix, buffer in zip(matrices, buffers):
            buffer.lerp_(matrix.grad, 1 - momentum)
            step = orthogonalized(matrix.grad.lerp(buffer, momentum))
            matrix *= 1 - rate * decay
            matrix -= rate * 0.2 * max(matrix.shape) ** 0.5 * step
        path += [value for parameter in parameters for value in rows(parameter)]
    emit("muon_gradients", all_gradients)
    emit("muon_path", path)


def schedule(emit):
    parameter = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=0.4)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20, eta_min=0.4 * 0.05)
    values = []
    for _ in range(20):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        cosine.step()
    emit("cosine", values)


def main():
    generator = torch.Generator().manual_seed(20)
    text = ["// SPDX-License-Identifier: MIT",
            "// Written by make_training_reference.py with PyTorch " + torch.__version__ +
            "; do not edit.",
            "#pragma once", "", "#include <array>", "#include <cstdint>", "",
            "namespace training_reference {", ""]

    for name in ("SAMPLES", "CLASSES", "STEPS", "DECAYED", "PLAIN", "MUON_STEPS"):
        text.append(f"inline constexpr std::int64_t {name.lower()} = {globals()[name]};")
    for name in ("TEMPERATURE", "ALPHA", "SMOOTHING", "DKD_ALPHA", "DKD_BETA", "CLIP_NORM", "AVERAGING_DECAY"):
        text.append(f"inline constexpr double {name.lower()} = {globals()[name]!r};")

    def emit(name, values, kind="double"):
        text.append("")
        text.append(f"inline constexpr std::array<{kind}, {len(values)}> {name}{{{{")
        for start in range(0, len(values), 4):
            text.append("    " + " ".join(f"{value!r}," for value in values[start:start + 4]))
        text.append("}};")

    losses(generator, emit)
    optimizers(generator, emit)
    schedule(emit)
    muon(emit)
    text += ["", "}  // namespace training_reference", ""]
    target = pathlib.Path(__file__).with_name("training_reference.hpp")
    target.write_text("\n".join(text))


if __name__ == "__main__":
    main()
