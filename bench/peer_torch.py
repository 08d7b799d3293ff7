#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Times one reference net in PyTorch and prints one JSON line.

One process takes one measurement, so that a caller can alternate it with its own:

    bench/peer_torch.py --net mobile-98k --mode training --variant channels_last --batch 64 --threads 2
    bench/peer_torch.py --net mobile-98k --device cuda --variant compile --precision bf16 --batch 256
    mpirun -n 2 bench/peer_torch.py --net mobile-98k --batch 64 --threads 1 --repeats 20

The training step is forward, cross-entropy, backward and SGD with Nesterov momentum; inference is a
forward pass in eval mode. Where the variant does not exist the line holds `unavailable` instead of times. On a GPU
the pictures are in its memory, and compile includes CUDA graphs (mode max-autotune). Under Open MPI's mpirun the ranks
share each training step by DistributedDataParallel and gloo; batch norm then has the statistics of each rank's part.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import time


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", default="mobile-98k", help="a name of torch_nets.py")
    parser.add_argument("--mode", choices=["training", "inference"], default="training")
    parser.add_argument("--variant", choices=["eager", "channels_last", "compile"], default="eager",
                        help="eager is NCHW; compile is torch.compile on channels_last")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["float32", "tf32", "bf16"], default="float32",
                        help="tf32 allows it in products, on cuda; bf16 adds autocast")
    parser.add_argument("--steps", type=int, default=1, help="steps per timed round")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--warmup", type=int, default=3, help="steps before the clock starts")
    parser.add_argument("--repeats", type=int, default=20, help="steps timed one by one, at most")
    parser.add_argument("--seconds", type=float, default=20, help="stop timing after this long (three steps at least)")
    options = parser.parse_args()
    for name in ("steps", "batch", "threads", "repeats"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1")
    return options


def main():
    options = arguments()
    # Read when the OpenMP runtime starts, so set before torch is imported.
    os.environ.setdefault("OMP_NUM_THREADS", str(options.threads))
    try:
        import torch
    except ImportError:
        print("error: PyTorch is missing; install python3-torch and python3-torchvision", file=sys.stderr)
        return 1
    import torch_nets

    if options.net not in torch_nets.NETS:
        print(f"error: no net {options.net}; choose one of {', '.join(torch_nets.NETS)}", file=sys.stderr)
        return 1
    result = {"peer": "pytorch", "version": torch.__version__, "onednn": torch.backends.mkldnn.is_available(),
              "net": options.net, "mode": options.mode, "variant": options.variant, "batch": options.batch,
              "threads": options.threads, "device": options.device, "precision": options.precision}
    if options.device == "cuda" and not torch.cuda.is_available():
        print("error: PyTorch finds no GPU; look at nvidia-smi", file=sys.stderr)
        return 1
    if options.variant == "compile" and not hasattr(torch, "compile"):
        print(json.dumps({**result, "unavailable": f"PyTorch {torch.__version__} has no torch.compile"}))
        return 0

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    baseline = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    make, size, *_ = torch_nets.NETS[options.net]
    net = make()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = options.precision != "float32"
    torch.backends.cudnn.benchmark = True
    net = net.to(options.device)
    rank, ranks = (int(os.environ.get(f"OMPI_COMM_WORLD_{name}", default)) for name, default in (("RANK", 0), ("SIZE", 1)))
    if options.batch % ranks or (ranks > 1 and options.mode != "training"):
        print(f"error: {ranks} ranks share training steps, of a --batch that they divide", file=sys.stderr)
        return 1
    images = torch.randn(options.batch // ranks, 3, size, size, device=options.device)
    with torch.no_grad():
        classes = net.eval()(images[:1]).shape[1]
    labels = torch.randint(classes, (len(images),), device=options.device)
    net.train(options.mode == "training")
    if options.variant != "eager":
        net = net.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=1e-4)
    model = net
    if ranks > 1:
        torch.distributed.init_process_group("gloo", rank=rank, world_size=ranks,
                                             init_method="tcp://127.0.0.1:29517")
        model = torch.nn.parallel.DistributedDataParallel(net)
    if options.variant == "compile":
        model = torch.compile(net, mode="max-autotune" if options.device == "cuda" else "default")
    narrow = torch.autocast(options.device, dtype=torch.bfloat16, enabled=options.precision == "bf16")

    def training():
        optimizer.zero_grad(set_to_none=True)
        with narrow:
            loss = torch.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()

    def inference():
        with torch.inference_mode(), narrow:
            model(images)

    one = training if options.mode == "training" else inference

    def step():
        for _ in range(options.steps):
            one()
        if options.device == "cuda":
            torch.cuda.synchronize()

    try:
        for _ in range(max(options.warmup, 1)):
            step()
    except Exception as error:
        if options.variant != "compile" and options.precision != "bf16":
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        what = "torch.compile" if options.variant == "compile" else "bf16 autocast"
        print(json.dumps({**result, "unavailable": f"{what} failed: {reason}"}))
        return 0
    times, started = [], time.perf_counter()
    # Ranks take the same number of steps.
    seconds = options.seconds if ranks == 1 else float("inf")
    while len(times) < options.repeats and (len(times) < 3 or time.perf_counter() - started < seconds):
        before = time.perf_counter()
        step()
        times.append(1000 * (time.perf_counter() - before) / options.steps)
    if rank > 0:
        return 0
    median = statistics.median(times)
    print(json.dumps({**result, "repeats": len(times), "median_ms": round(median, 4), "best_ms": round(min(times), 4),
                      "images_per_second": round(1000 * options.batch / median, 2),
                      "baseline_mb": round(baseline / 1024, 1),
                      "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
