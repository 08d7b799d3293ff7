#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Times the forward pass of one reference net in ONNX Runtime or ncnn and prints one JSON line.

    bench/peer_onnx.py --net mobile-98k --runtime onnxruntime --batch 1 --threads 1

The net comes from bench/torch_nets.py through torch.onnx.export, with batch norm folded as the runtime
folds it. ncnn takes one picture at a time; for a batch each thread takes its share of the pictures. Where
a package is missing the line holds `unavailable` instead of times.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", default="mobile-98k", help="a name of torch_nets.py")
    parser.add_argument("--runtime", choices=["onnxruntime", "ncnn"], default="onnxruntime")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--warmup", type=int, default=3, help="calls before the clock starts")
    parser.add_argument("--repeats", type=int, default=20, help="calls timed one by one, at most")
    parser.add_argument("--seconds", type=float, default=20, help="stop timing after this long (three calls at least)")
    return parser.parse_args()


def onnxruntime_call(net, images, options, folder):
    import onnxruntime
    import torch
    file = str(folder / "net.onnx")
    torch.onnx.export(net, (images,), file, input_names=["images"], output_names=["logits"], verbose=False)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, settings, providers=["CPUExecutionProvider"])
    feed = {"images": images.numpy()}
    return f"onnxruntime {onnxruntime.__version__}", lambda: session.run(None, feed)[0]


def ncnn_call(net, images, options, folder):
    import ncnn
    import torch
    traced = folder / "net.pt"
    torch.jit.trace(net, images[:1]).save(str(traced))
    import pnnx
    shape = ",".join(map(str, images[:1].shape))
    subprocess.run([pnnx.EXEC_PATH, str(traced), f"inputshape=[{shape}]", "fp16=0"], check=True,
                   stdout=subprocess.DEVNULL)
    model = ncnn.Net()
    model.opt.num_threads = options.threads if len(images) == 1 else 1
    # float32 on both sides.
    model.opt.use_fp16_packed = model.opt.use_fp16_storage = model.opt.use_fp16_arithmetic = False
    model.opt.use_bf16_storage = False
    model.load_param(str(folder / "net.ncnn.param"))
    model.load_model(str(folder / "net.ncnn.bin"))
    pictures = [ncnn.Mat(image.numpy()).clone() for image in images]

    def one(picture):
        extractor = model.create_extractor()
        extractor.input("in0", picture)
        return extractor.extract("out0")[1].numpy()

    pool = concurrent.futures.ThreadPoolExecutor(options.threads)

    def call():
        import numpy
        outputs = [one(pictures[0])] if len(pictures) == 1 else list(pool.map(one, pictures))
        return numpy.stack(outputs)

    return f"ncnn {ncnn.__version__}", call


def main():
    options = arguments()
    result = {"peer": options.runtime, "net": options.net, "mode": "inference", "batch": options.batch,
              "threads": options.threads}
    try:
        import torch
        import torch_nets
        torch.manual_seed(0)
        torch.set_num_threads(1)
        make, size, *_ = torch_nets.NETS[options.net]
        net = make().eval()
        images = torch.randn(options.batch, 3, size, size)
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            before = os.getcwd()
            os.chdir(folder)
            make_call = onnxruntime_call if options.runtime == "onnxruntime" else ncnn_call
            # Converters print to the standard output, which must have one line only.
            sys.stdout.flush()
            kept = os.dup(1)
            os.dup2(2, 1)
            version, call = make_call(net, images, options, pathlib.Path(folder))
            os.dup2(kept, 1)
            os.chdir(before)
            expected = net(images).numpy()
            difference = float(abs(call().reshape(expected.shape) - expected).max())
    except (ImportError, subprocess.CalledProcessError, OSError, RuntimeError, AttributeError) as error:
        if "kept" in locals():
            os.dup2(kept, 1)
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        print(json.dumps({**result, "unavailable": reason}))
        return 0
    if difference > 1e-3:
        print(json.dumps({**result, "unavailable": f"its logits differ from PyTorch's by {difference:.2g}"}))
        return 0
    for _ in range(max(options.warmup, 1)):
        call()
    times, started = [], time.perf_counter()
    while len(times) < options.repeats and (len(times) < 3 or time.perf_counter() - started < options.seconds):
        before = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - before))
    median = statistics.median(times)
    print(json.dumps({**result, "version": version, "repeats": len(times), "median_ms": round(median, 4),
                      "best_ms": round(min(times), 4), "images_per_second": round(1000 * options.batch / median, 2)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
