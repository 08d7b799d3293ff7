#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Times the forward pass of one reference net in ONNX Runtime, OpenVINO or ncnn and prints one JSON line.

    bench/peer_onnx.py --net mobile-98k --runtime onnxruntime --batch 1 --threads 1

The net comes from bench/torch_nets.py through torch.onnx.export, with batch norm folded as the runtime
folds it. ncnn takes one picture at a time; for a batch each thread takes its share of the pictures.
OpenVINO takes a batch in one request, or each thread its share, whichever is faster. The int8 model is
that of onnxruntime.quantization (unsigned activations, signed weights with a scale per channel), for both
runtimes. Where a package is missing the line holds `unavailable` instead of times.
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
    parser.add_argument("--runtime", choices=["onnxruntime", "ncnn", "openvino"], default="onnxruntime")
    parser.add_argument("--precision", choices=["float32", "bf16", "int8"], default="float32",
                        help="int8 is for ONNX Runtime and OpenVINO, bf16 for OpenVINO")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--warmup", type=int, default=3, help="calls before the clock starts")
    parser.add_argument("--repeats", type=int, default=20, help="calls timed one by one, at most")
    parser.add_argument("--seconds", type=float, default=20, help="stop timing after this long (three calls at least)")
    return parser.parse_args()


def onnx_file(net, images, options, folder):
    import torch
    file = str(folder / "net.onnx")
    torch.onnx.export(net, (images,), file, input_names=["images"], output_names=["logits"], verbose=False)
    if options.precision != "int8":
        return file
    from onnxruntime import quantization

    class Pictures(quantization.CalibrationDataReader):
        def __init__(self):
            self.left = [torch.randn(images.shape).numpy() for _ in range(4)]

        def get_next(self):
            return {"images": self.left.pop()} if self.left else None

    prepared = str(folder / "prepared.onnx")
    quantization.shape_inference.quant_pre_process(file, prepared)
    quantized = str(folder / "int8.onnx")
    quantization.quantize_static(prepared, quantized, Pictures(), quant_format=quantization.QuantFormat.QDQ,
                                 per_channel=True, activation_type=quantization.QuantType.QUInt8,
                                 weight_type=quantization.QuantType.QInt8)
    return quantized


def onnxruntime_call(net, images, options, folder):
    import onnxruntime
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx_file(net, images, options, folder), settings,
                                           providers=["CPUExecutionProvider"])
    feed = {"images": images.numpy()}
    return f"onnxruntime {onnxruntime.__version__}", lambda: session.run(None, feed)[0]


def openvino_call(net, images, options, folder):
    import numpy
    import openvino
    core = openvino.Core()
    kind = openvino.Type.bf16 if options.precision == "bf16" else openvino.Type.f32

    def compiled(part, streams):
        model = core.read_model(onnx_file(net, part, options, folder))
        return core.compile_model(model, "CPU", {
            "INFERENCE_NUM_THREADS": options.threads, "NUM_STREAMS": streams,
            "INFERENCE_PRECISION_HINT": kind, "PERFORMANCE_HINT": "LATENCY" if streams == 1 else "THROUGHPUT"})

    one = compiled(images, 1).create_infer_request()
    pixels = images.numpy()

    def whole():
        return next(iter(one.infer({0: pixels}, share_inputs=True).values()))

    calls = [whole]
    if options.threads > 1 and len(images) % options.threads == 0:
        parts = numpy.split(pixels, options.threads)
        model = compiled(images[:len(parts[0])], options.threads)
        requests = [model.create_infer_request() for _ in parts]

        def shared():
            for request, part in zip(requests, parts):
                request.start_async({0: part}, share_inputs=True)
            for request in requests:
                request.wait()
            return numpy.concatenate([request.get_output_tensor().data for request in requests])

        calls.append(shared)

    def fastest(call):
        times = []
        for _ in range(20):
            before = time.perf_counter()
            call()
            times.append(time.perf_counter() - before)
        return min(times)

    return f"openvino {openvino.__version__.split('-')[0]}", min(calls, key=fastest)


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
    result = {"peer": options.runtime, "precision": options.precision, "net": options.net, "mode": "inference", "batch": options.batch,
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
            make_call = {"onnxruntime": onnxruntime_call, "openvino": openvino_call, "ncnn": ncnn_call}[options.runtime]
            # Converters print to the standard output, which must have one line only.
            sys.stdout.flush()
            kept = os.dup(1)
            os.dup2(2, 1)
            version, call = make_call(net, images, options, pathlib.Path(folder))
            os.dup2(kept, 1)
            os.chdir(before)
            expected = net(images).numpy()
            difference = float(abs(call().reshape(expected.shape) - expected).max())
            allowed = 1e-3 if options.precision == "float32" else float(abs(expected).max()) / 4
    except (ImportError, subprocess.CalledProcessError, OSError, RuntimeError, AttributeError) as error:
        if "kept" in locals():
            os.dup2(kept, 1)
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        print(json.dumps({**result, "unavailable": reason}))
        return 0
    if difference > allowed:
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
