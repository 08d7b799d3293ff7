#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Tests of tools/convert_teacher.py. Exits with 77 (skipped) where a Python package is missing."""

import argparse
import collections
import contextlib
import io
import json
import os
import pickle
import struct
import sys
import tarfile
import tempfile
import time
import unittest
import zipfile
from unittest import mock

SKIPPED = 77
SOURCE = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path[:0] = [os.path.join(SOURCE, "tools"), os.path.join(SOURCE, "tools", "shared"),
                os.path.join(SOURCE, "tests", "campaign")]

try:
    import numpy as np
    import torch
    import torchvision
    import xxhash
    from PIL import Image
except ImportError as missing:
    print(f"skipped: {missing.name} is missing; install python3-torch, python3-torchvision and python3-xxhash")
    sys.exit(SKIPPED)

import checkpoint_reader  # noqa: E402
import convert_teacher  # noqa: E402
import fuzz_convert_teacher as fuzz  # noqa: E402
import homework_folders  # noqa: E402
import homework_pictures  # noqa: E402
import safetensors_io  # noqa: E402

ARCH = "shufflenet_v2_x0_5"  # the smallest file among torchvision's classifiers
CLASSES = ["2", "10", "1"]


class RunsCode:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def make_teacher(classes=len(CLASSES)):
    torch.manual_seed(1)
    teacher = getattr(torchvision.models, ARCH)(num_classes=classes)
    # Batch norm takes its statistics from these pictures, so that a view's details reach the logits.
    for layer in teacher.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    teacher.train()(torch.randn(16, 3, 32, 32))
    return teacher.eval()


def picture(seed, height=24, width=24):
    """A smooth random picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.BICUBIC)


class ConvertTeacher(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def save(self, content, name="teacher.pth"):
        torch.save(content, self.path(name))
        return self.path(name)

    def run_tool(self, *arguments):
        """Returns (exit status, standard output, standard error)."""
        output, errors = io.StringIO(), io.StringIO()
        with mock.patch.object(sys, "argv", ["convert_teacher.py", *map(str, arguments)]), \
                contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            status = convert_teacher.main()
        return status, output.getvalue(), errors.getvalue()

    def refusal(self, *arguments):
        """The one line with which the tool refuses; nothing may be written."""
        target = self.path("refused.safetensors")
        status, output, errors = self.run_tool(*arguments, "--output", target)
        self.assertEqual(status, 1)
        self.assertEqual(output, "")
        self.assertEqual(len(errors.splitlines()), 1, errors)
        self.assertTrue(errors.startswith("error: "), errors)
        self.assertTrue(errors.rstrip("\n").isprintable(), errors)
        self.assertFalse(os.path.exists(target))
        return errors

    def convert(self, checkpoint, *arguments):
        target = self.path("converted.safetensors")
        status, self.output, errors = self.run_tool(checkpoint, "--output", target, *arguments)
        self.assertEqual((status, errors if not arguments else ""), (0, ""))
        return safetensors_io.load(target)[0]

    def write(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content)
        return self.path(name)

    def make_data(self):
        for number, name in enumerate(CLASSES):
            for split in ("training/labeled", "validation"):
                os.makedirs(self.path("data", split, name))
                for index in range(2):
                    picture(10 * number + index + len(split)).save(self.path("data", split, name, f"{index}.png"))
        for folder in ("training/unlabeled/00", "testing/00"):
            os.makedirs(self.path("data", folder))
            picture(99, 30, 40).save(self.path("data", folder, "0.png"))
        return self.path("data")

    def logits_arguments(self, checkpoint, data):
        return (checkpoint, "--logits", "--data", data, "--arch", ARCH, "--views", 3, "--view-seed", 7,
                "--stored-size", 24, "--input", 32, "--batch-size", 5, "--threads", 1)


class Conversion(ConvertTeacher):
    def test_a_state_dict_keeps_every_number_under_its_name(self):
        state = make_teacher().state_dict()
        tensors = self.convert(self.save(state))
        expected = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
        self.assertEqual(list(tensors), list(expected))
        for name, value in expected.items():
            np.testing.assert_array_equal(tensors[name], value.numpy(), name)

    def test_views_of_a_shared_storage_are_read_from_it(self):
        whole = torch.arange(24.0).reshape(4, 6)
        tensors = self.convert(self.save({"rows": whole[1:3], "turned": whole.t(), "one": whole[2, 3]}))
        np.testing.assert_array_equal(tensors["rows"], whole[1:3].numpy())
        np.testing.assert_array_equal(tensors["turned"], whole.t().numpy())
        self.assertEqual((tensors["one"].shape, float(tensors["one"])), ((), 15.0))

    def test_other_float_types_become_float32(self):
        values = torch.tensor([0.5, -2.0, 96.0])
        tensors = self.convert(self.save({"half": values.half(), "brain": values.bfloat16(), "double": values.double()}))
        for name, converted in tensors.items():
            self.assertEqual(converted.dtype, np.float32, name)
            np.testing.assert_array_equal(converted, values.numpy(), name)

    def test_a_training_checkpoint_of_several_devices_is_unwrapped(self):
        tensors = self.convert(self.save({"epoch": 3, "state_dict": {"module.weight": torch.ones(2)}}))
        self.assertEqual(list(tensors), ["weight"])

    def test_parameters_are_read_like_tensors(self):
        tensors = self.convert(self.save({"weight": torch.nn.Parameter(torch.ones(2, 3))}))
        self.assertEqual(tensors["weight"].shape, (2, 3))

    def test_a_pickled_module_is_refused_without_the_flag(self):
        checkpoint = self.save(make_teacher())
        self.assertIn("holds the Python object torchvision.models.shufflenetv2.ShuffleNetV2", self.refusal(checkpoint))
        self.assertIn("--allow-pickled-code, which runs code", self.refusal(checkpoint))

    def test_a_pickled_module_is_converted_with_the_flag(self):
        teacher = make_teacher()
        tensors = self.convert(self.save(teacher), "--allow-pickled-code")
        np.testing.assert_array_equal(tensors["fc.weight"], teacher.fc.weight.detach().numpy())

    def test_code_in_a_checkpoint_does_not_run(self):
        trace = self.path("trace")
        checkpoint = self.save({"weight": torch.ones(2), "trap": RunsCode(trace)})
        self.assertIn("holds the Python object io.open", self.refusal(checkpoint))
        with open(self.path("bare.pth"), "wb") as file:
            pickle.dump(RunsCode(trace), file)
        self.assertIn("bare pickle", self.refusal(self.path("bare.pth")))
        self.assertFalse(os.path.exists(trace))

    def test_a_checkpoint_that_alters_its_tensors_is_refused(self):
        # BUILD on a tensor record would otherwise let a pickle forge offsets after they were checked.
        checkpoint = self.save({"weight": torch.ones(2)})
        with zipfile.ZipFile(checkpoint) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        name = next(name for name in entries if name.endswith("data.pkl"))
        # The first REDUCE that is followed by a memo and SETITEM makes the tensor; add BUILD({}) to it.
        position = entries[name].rindex(b"Rq")
        entries[name] = entries[name][:position + 1] + b"}b" + entries[name][position + 1:]
        with zipfile.ZipFile(checkpoint, "w") as archive:
            for entry, content in entries.items():
                archive.writestr(entry, content)
        self.assertIn("tries to alter a tensor", self.refusal(checkpoint))

    def test_garbage_is_named(self):
        for content, message in ((b"", "neither a PyTorch checkpoint nor safetensors"),
                                 (b"not a checkpoint", "neither a PyTorch checkpoint nor safetensors"),
                                 (b"PK\x03\x04 cut short", "damaged archive"),
                                 (b"\x80\x02garbage", "bare pickle")):
            with open(self.path("garbage.pth"), "wb") as file:
                file.write(content)
            line = self.refusal(self.path("garbage.pth"))
            self.assertIn(message, line)
            self.assertIn("garbage.pth", line)

    def test_what_is_no_file_or_has_no_plain_name_is_refused(self):
        os.mkfifo(self.path("pipe.pth"))
        for path in (self.path("pipe.pth"), self.folder, "/dev/zero"):
            self.assertEqual(self.refusal(path), f"error: {path}: is not a regular file; name a file\n")
        with open(self.path("new\nline\x1b[1m.pth"), "w") as file:
            file.write("no checkpoint")
        self.assertIn("new\\nline\\x1b[1m.pth: neither", self.refusal(file.name))
        unnamable = os.fsencode(self.folder) + b"/\xff.pth"
        os.rename(self.save({"weight": torch.ones(2)}), unnamable)
        self.assertIn("\\udcff.pth: the name is not valid UTF-8; rename it", self.refusal(os.fsdecode(unnamable)))

    def test_every_truncation_is_refused(self):
        with open(self.save({"weight": torch.randn(50, 50)}), "rb") as file:
            whole = file.read()
        for length in range(0, len(whole), len(whole) // 20):
            with open(self.path("short.pth"), "wb") as file:
                file.write(whole[:length])
            self.refusal(self.path("short.pth"))

    def test_damaged_bytes_never_crash(self):
        with open(self.save({"weight": torch.randn(3, 3), "bias": torch.randn(3)}), "rb") as file:
            whole = bytearray(file.read())
        random = np.random.default_rng(3)
        for _ in range(200):
            damaged = bytearray(whole)
            for place in random.integers(0, len(whole), 4):
                damaged[place] = random.integers(256)
            with open(self.path("damaged.pth"), "wb") as file:
                file.write(damaged)
            status, _, errors = self.run_tool(self.path("damaged.pth"), "--output", self.path("out.safetensors"))
            self.assertIn(status, (0, 1))
            self.assertEqual(len(errors.splitlines()), status, errors)

    def test_other_content_is_named(self):
        for content, message in (([1, 2], "holds a list, expected a state_dict"), ({}, "holds no tensors"),
                                 (torch.ones(2), "holds a tensor, expected a state_dict"),
                                 ({"epoch": 3}, "entry 'epoch' is not a tensor"),
                                 ({"weight": torch.tensor([1, np.nan])}, "tensor weight holds NaN or infinity"),
                                 ({"weight": torch.tensor([1e300], dtype=torch.float64)}, "NaN or infinity")):
            self.assertIn(message, self.refusal(self.save(content)))
        script = torch.jit.script(torch.nn.Linear(2, 2))
        script.save(self.path("script.pt"))
        self.assertIn("a TorchScript program", self.refusal(self.path("script.pt")))
        self.assertIn("absent.pth: No such file", self.refusal(self.path("absent.pth")))

    def test_a_failed_run_leaves_the_old_file(self):
        target = self.path("kept.safetensors")
        with open(target, "w") as file:
            file.write("kept")
        status, _, _ = self.run_tool(self.save([1]), "--output", target)
        with open(target) as file:
            self.assertEqual((status, file.read()), (1, "kept"))
        self.assertEqual(sorted(os.listdir(self.folder)), ["kept.safetensors", "teacher.pth"])

    def test_an_output_folder_that_is_missing_is_named(self):
        status, _, errors = self.run_tool(self.save({"weight": torch.ones(1)}), "--output",
                                          self.path("absent", "x.safetensors"))
        self.assertEqual(status, 1)
        self.assertIn(self.path("absent"), errors)


class Wrappers(ConvertTeacher):
    def names(self, content):
        """The names of the converted tensors; what the tool says is in self.output."""
        return sorted(self.convert(self.save(content)))

    def state(self, prefix=""):
        return {prefix + "conv.weight": torch.ones(2), prefix + "fc.bias": torch.zeros(1)}

    def test_prefixes_that_all_names_share_are_removed_and_named(self):
        for prefix in ("module.", "_orig_mod.", "_orig_mod.module.", "model.", "student.", "model._orig_mod.module.",
                       "ema.", "backbone.", "_fsdp_wrapped_module."):
            self.assertEqual(self.names(self.state(prefix)), ["conv.weight", "fc.bias"])
            self.assertIn(f"removed the prefix '{prefix}' from every name", self.output)
        self.names(self.state())
        self.assertNotIn("prefix", self.output)

    def test_a_prefix_of_some_names_is_named_and_kept(self):
        self.assertEqual(self.names({**self.state("model."), "loss.weight": torch.ones(1)}),
                         ["loss.weight", "model.conv.weight", "model.fc.bias"])
        self.assertIn("the names of 2 of 3 tensors begin with 'model.'; left as they are", self.output)

    def test_the_state_of_a_training_program_is_found_and_what_is_left_out_named(self):
        layer = torch.nn.Linear(2, 2)
        optimizer = torch.optim.Adam(layer.parameters())
        layer(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        for content, said in (({"model": {"state_dict": self.state()}}, ""),
                              ({"state_dict": self.state("model."), "epoch": 3, "optimizer": optimizer.state_dict()}, ""),
                              ({"model": self.state(), "model_ema": self.state()}, "left out 'model_ema'"),
                              ({"state_dict_ema": self.state("module.")}, "the averaged weights ('state_dict_ema')"),
                              ({"weights_of_today": self.state(), "optimizer": optimizer.state_dict()},
                               "took the only dictionary of tensors ('weights_of_today')"),
                              ({"state_dict": self.state(), "best": torch.tensor(0.5)}, "")):
            self.assertEqual(self.names(content), ["conv.weight", "fc.bias"])
            self.assertIn(said, self.output)

    def test_averaged_models_are_converted_without_their_counters(self):
        averaged = torch.optim.swa_utils.AveragedModel(torch.nn.Linear(2, 2))
        self.assertEqual(self.names(averaged.state_dict()), ["bias", "weight"])
        ema = {"initted": torch.tensor(True), "step": torch.tensor(3), **self.state("online_model."),
               **self.state("ema_model.")}
        self.assertEqual(self.names(ema), ["conv.weight", "fc.bias"])
        self.assertIn("left out 'online_model.'", self.output)
        line = self.refusal(self.save({"decay": 0.99, "shadow_params": [torch.ones(2)]}))
        self.assertIn("averaged weights without names ('shadow_params')", line)

    def test_several_dictionaries_of_tensors_are_named(self):
        self.assertIn("holds several dictionaries of tensors ('first', 'second'); save the one you want alone",
                      self.refusal(self.save({"first": self.state(), "second": self.state()})))

    def test_objects_beside_the_tensors_are_left_out_and_not_made(self):
        trace = self.path("trace")
        content = {"state_dict": {**self.state(), "fc._extra_state": None}, "args": RunsCode(trace),
                   "best": np.float64(0.5), "seen": {1, 2}, "milestones": collections.Counter({30: 1}),
                   "history": collections.defaultdict(list), "options": argparse.Namespace(rate=0.1)}
        self.assertEqual(self.names(content), ["conv.weight", "fc.bias"])
        self.assertFalse(os.path.exists(trace))

    def test_a_dictionary_that_holds_itself_ends(self):
        content = {}
        content["model"] = content
        self.refusal(self.save(content))


class Files(ConvertTeacher):
    def forged(self, content, storages=None):
        return self.write("forged.pth", fuzz.archive(fuzz.pickled(content), storages or {}))

    def test_a_file_is_what_its_content_says(self):
        values = torch.tensor([0.5, -2.0])
        checkpoint = self.save({"weight": values})
        converted = self.convert(checkpoint)
        np.testing.assert_array_equal(converted["weight"], values.numpy())
        with open(self.path("converted.safetensors"), "rb") as file:
            renamed = self.write("renamed.pth", file.read())
        np.testing.assert_array_equal(self.convert(renamed)["weight"], values.numpy())
        with open(checkpoint, "rb") as file:
            renamed = self.write("renamed.safetensors", file.read())
        np.testing.assert_array_equal(self.convert(renamed)["weight"], values.numpy())

    def test_the_format_before_pytorch_1_6_is_read(self):
        whole = torch.arange(24.0).reshape(4, 6)
        state = {"rows": whole[1:3], "turned": whole.t(), "half": torch.tensor([0.5]).half(), "n": torch.tensor(3)}
        torch.save({"state_dict": state}, self.path("old.pth"), _use_new_zipfile_serialization=False)
        tensors = self.convert(self.path("old.pth"))
        for name, value in state.items():
            np.testing.assert_array_equal(tensors[name], value.numpy(), name)
        with open(self.path("old.pth"), "rb") as file:
            content = file.read()
        for length in range(2, len(content), len(content) // 40):
            self.refusal(self.write("short.pth", content[:length]))

    def test_every_float_type_becomes_float32_from_safetensors_too(self):
        for kind, content in (("F16", np.float16([0.5, -2]).tobytes()), ("F64", np.float64([0.5, -2]).tobytes()),
                              ("BF16", b"\x00\x3f\x00\xc0"), ("F32", np.float32([0.5, -2]).tobytes())):
            header = json.dumps({"w": {"dtype": kind, "shape": [2], "data_offsets": [0, len(content)]}}).encode()
            tensors = self.convert(self.write("x.safetensors", struct.pack("<Q", len(header)) + header + content))
            self.assertEqual(tensors["w"].dtype, np.float32)
            self.assertEqual(tensors["w"].tolist(), [0.5, -2])
        for content in (np.float32([0.5, np.nan]), np.float64([0.5, 1e300]), np.float16([np.inf, 0])):
            safetensors_io.save(self.path("x.safetensors"), {"w": content})
            self.assertIn("tensor w holds NaN or infinity", self.refusal(self.path("x.safetensors")))

    def test_sizes_that_an_archive_declares_are_compared_with_its_bytes(self):
        tensor = fuzz.Tensor("FloatStorage", "0", 1_000_000, 0, (1_000_000,), (1,))
        path = self.forged({"w": tensor}, {"0": bytes(16)})
        with open(path, "rb") as file:
            content = bytearray(file.read())
        entry = content.rindex(b"teacher/data/0") - 46  # in the directory at the end
        struct.pack_into("<I", content, entry + 24, 4_000_000)
        self.assertIn("teacher/data/0 declares 4000000 bytes and holds 16", self.refusal(self.write("a.pth", content)))
        struct.pack_into("<I", content, entry + 20, 4_000_000)
        self.assertIn("declare more bytes than the file has", self.refusal(self.write("b.pth", content)))
        self.assertIn("has 16 bytes, expected 4000000", self.refusal(path))
        struct.pack_into("<II", content, entry + 20, 16, 16)
        struct.pack_into("<H", content, entry + 8, 1)
        self.assertIn("damaged archive", self.refusal(self.write("encrypted.pth", content)))

    def test_expanded_tensors_are_converted(self):
        tensors = self.convert(self.save({"w": torch.tensor([2.0]).expand(3, 5), "v": torch.ones(2, 1).expand(2, 4)}))
        np.testing.assert_array_equal(tensors["w"], np.full((3, 5), 2, np.float32))
        np.testing.assert_array_equal(tensors["v"], np.ones((2, 4), np.float32))

    def test_a_shared_storage_is_read_once_and_not_repeated_without_end(self):
        shared = torch.arange(1000.0)
        with mock.patch.object(checkpoint_reader, "read_numbers", wraps=checkpoint_reader.read_numbers) as reads:
            self.assertEqual(len(self.convert(self.save({f"t{n}": shared[n:] for n in range(20)}))), 20)
        self.assertEqual(reads.call_count, 1)
        tensor = fuzz.Tensor("FloatStorage", "0", 4, 0, (2**40,), (0,))
        self.assertIn("repeat the", self.refusal(self.forged({"w": tensor}, {"0": bytes(16)})))

    def test_a_view_beyond_its_storage_is_refused(self):
        for offset, shape, strides in ((0, (5,), (1,)), (0, (2,), (4,)), (4, (1,), (1,)), (0, (2,), (-1,)),
                                       (0, (2, 2), (1,)), (0, (2**62, 2**62), (0, 0)), (2**70, (0,), (1,)),
                                       (0, (2,), (2**62,)), (0.0, (4,), (1,)), (0, (True,), (1,)), (0, "ab", "ab")):
            tensor = fuzz.Tensor("FloatStorage", "0", 4, offset, shape, strides)
            self.refusal(self.forged({"w": tensor}, {"0": bytes(16)}))
        # A stride along an extent of one is never taken.
        tensor = fuzz.Tensor("FloatStorage", "0", 4, 0, (1, 4), (2**62, 1))
        self.assertEqual(self.convert(self.forged({"w": tensor}, {"0": bytes(16)}))["w"].shape, (1, 4))

    def test_names_that_cannot_be_written_are_refused(self):
        weight = torch.ones(2)
        self.assertIn("a tensor is named __metadata__", self.refusal(self.save({"__metadata__": weight})))
        self.assertIn("'\\ud800' is not valid UTF-8", self.refusal(self.save({"\ud800": weight})))
        self.assertIn(r"entry 'a\x1b[2J\n' is not a tensor", self.refusal(self.save({"a\x1b[2J\n": 3})))
        tensor = fuzz.Tensor("FloatStorage", "0", 4, 0, (4,), (1,))
        twice = fuzz.pickled({"a1": tensor, "a2": tensor}).replace(b"a2", b"a1")
        self.assertIn("names 'a1' twice", self.refusal(self.write("twice.pth", fuzz.archive(twice, {"0": bytes(16)}))))

    def test_pickles_that_would_take_all_memory_or_time_end_at_once(self):
        start, deep = b"\x80\x02", 300_000
        doubled = b"".join(b"0h%ch%c\x86q%c" % (n, n, n + 1) for n in range(60))
        for body in (b"}r\xff\xff\xff\x7f.", b"\x96" + struct.pack("<Q", 2**40) + b".",
                     b"\x8d" + struct.pack("<Q", 2**62) + b".", b"X\xff\xff\xff\xff.",
                     b")" + b"\x85" * deep + b".", b"(" * deep + b".", b")q\x00" + doubled + b"0}(h<K\x01u.",
                     b")q\x00" + doubled + b"0}X\x01\x00\x00\x00wh<s.", b"I" + b"9" * deep + b"\n.",
                     b"\x8b" + struct.pack("<i", deep) + b"\x7f" * deep + b"."):
            begun = time.monotonic()
            self.refusal(self.write("bomb.pth", fuzz.archive(start + body, {})))
            self.assertLess(time.monotonic() - begun, 20, body[:20])
        with mock.patch.object(checkpoint_reader.pickle_reader, "MOST_OPERATIONS", 1000):
            self.assertIn("has more than 1,000 operations",
                          self.refusal(self.write("bomb.pth", fuzz.archive(start + b")" + b"\x85" * 2000, {}))))

    def test_the_checkpoint_itself_is_not_overwritten(self):
        checkpoint = self.save({"weight": torch.ones(1)})
        status, _, errors = self.run_tool(checkpoint, "--output", checkpoint)
        self.assertEqual((status, errors), (1, f"error: {checkpoint}: is the checkpoint itself; name another --output\n"))

    def test_random_damage_is_refused_in_one_line_or_gives_finite_numbers(self):
        for seed in range(3):
            outcomes, problems = fuzz.run(seed, 400, self.folder)
            self.assertEqual(problems, [])
            self.assertGreater(sum(number for (_, outcome), number in outcomes.items() if outcome == "converted"), 5)


class Logits(ConvertTeacher):
    def write(self, *more):
        teacher, data, target = make_teacher(), self.make_data(), self.path("logits.safetensors")
        checkpoint = self.save(teacher.state_dict())
        status, output, errors = self.run_tool(*self.logits_arguments(checkpoint, data), "--output", target, *more)
        self.assertEqual(status, 0, errors)
        return teacher, data, output, errors, *safetensors_io.load(target)

    def test_pictures_are_in_the_documented_order_with_their_hashes(self):
        _, data, output, _, tensors, metadata = self.write()
        expected = [f"training/labeled/{name}/{index}.png" for name in ("1", "2", "10") for index in range(2)]
        expected += ["training/unlabeled/00/0.png"]
        expected += [f"validation/{name}/{index}.png" for name in ("1", "2", "10") for index in range(2)]
        self.assertEqual(json.loads(metadata["paths"]), expected)
        self.assertEqual(json.loads(metadata["classes"]), ["1", "2", "10"])
        for path, digest in zip(expected, json.loads(metadata["hashes"])):
            with open(os.path.join(data, path), "rb") as file:
                self.assertEqual(digest, xxhash.xxh64(file.read()).hexdigest())
        self.assertEqual(tensors["logits"].shape, (13, 3, 3))
        self.assertEqual(tensors["views"].shape, (13, 3, 8))
        self.assertEqual(metadata["format"], "bantam-teacher-logits/2")
        self.assertEqual({values.dtype for values in tensors.values()}, {np.dtype(np.float16)})
        self.assertEqual(metadata["view_seed"], "7")
        self.assertEqual(json.loads(metadata["preprocessing"])["input"], [32, 32])
        self.assertRegex(output, r"labeled: 6 pictures, teacher accuracy 0\.\d{4} \(\d of 6\)")
        self.assertRegex(output, r"unlabeled: 1 pictures, mean top probability 0\.\d{3}")
        self.assertRegex(output, r"validation: 6 pictures, teacher accuracy 0\.\d{4}")

    def test_logits_are_the_teachers_for_the_view_that_is_stored(self):
        teacher, data, _, _, tensors, metadata = self.write()
        mean, deviation = (torch.tensor(values)[:, None, None]
                           for values in (homework_pictures.MEAN, homework_pictures.DEVIATION))
        for image in (0, 5, 7):
            with Image.open(os.path.join(data, json.loads(metadata["paths"])[image])) as opened:
                pixels = torch.from_numpy(np.asarray(opened).copy()).permute(2, 0, 1).float()
            for view in range(3):
                top, left, height, width, flipped, *factors = tensors["views"][image, view].astype(np.float64)
                # An affine sampling grid, PyTorch's own way to cut a box.
                grid = torch.nn.functional.affine_grid(
                    torch.tensor([[[width, 0, 2 * left + width - 1], [0, height, 2 * top + height - 1]]]),
                    (1, 3, 32, 32), align_corners=False).float()
                cut = torch.nn.functional.grid_sample(pixels[None], grid, padding_mode="border", align_corners=False)
                if flipped:
                    cut = cut.flip(3)
                brightness, contrast, saturation = factors
                cut = cut / 255
                luma = 0.299 * cut[:, :1] + 0.587 * cut[:, 1:2] + 0.114 * cut[:, 2:]
                cut = (luma + saturation * (cut - luma)) * brightness
                cut = 0.5 + (cut - 0.5) * contrast
                with torch.no_grad():
                    expected, mirrored = teacher(torch.cat([cut, cut.flip(3)]).sub(mean).div(deviation)).numpy()
                self.assertGreater(abs(expected - mirrored).max(), 1e-3)  # the teacher sees a wrong flip
                np.testing.assert_allclose(tensors["logits"][image, view], expected, rtol=1e-3, atol=1e-4)

    def test_the_first_view_is_whole_and_others_are_boxes_within(self):
        *_, tensors, _ = self.write()
        views = tensors["views"]
        np.testing.assert_array_equal(views[:, 0], np.tile(np.float16([0, 0, 1, 1, 0, 1, 1, 1]), (13, 1)))
        others = views[:, 1:].reshape(-1, 8).astype(np.float64)
        self.assertEqual(len(np.unique(others, axis=0)), len(others))
        self.assertTrue((others[:, :2] >= 0).all() and (others[:, :2] + others[:, 2:4] <= 1).all())
        self.assertTrue((abs(others[:, 5:] - 1) <= 0.2 + 1 / 2048).all() and others[:, 5:].std() > 0.05)

    def test_views_are_those_of_the_cpp_side(self):
        # Printed by random_stored_view of include/bantam/data/stored_view.hpp.
        expected = {
            (0, 1): "0x1.69p-3 0x1.acp-4 0x1.6c8p-1 0x1.758p-1 0x0p+0 0x1.23cp+0 0x1.f2p-1 0x1.ea8p-1",
            (1, 2): "0x1.0cp-5 0x1.cp-9 0x1.c5cp-1 0x1.fd8p-1 0x1p+0 0x1.074p+0 0x1.d7p-1 0x1.c2p-1",
            (77, 3): "0x1.1f8p-2 0x1.a6p-4 0x1.49cp-1 0x1.af8p-1 0x1p+0 0x1.2f4p+0 0x1.b2p-1 0x1.08p+0",
            (10068, 1): "0x1.36p-3 0x1.42p-3 0x1.74p-1 0x1.a28p-1 0x1p+0 0x1.cf8p-1 0x1.258p+0 0x1.a6p-1",
        }
        for (image, view), numbers in expected.items():
            found = homework_pictures.random_view(123456789012345, image, view)
            self.assertEqual(found.tolist(), [float.fromhex(number) for number in numbers.split()], (image, view))

    def test_bad_pictures_are_left_out_and_named(self):
        teacher, data = make_teacher(), self.make_data()
        checkpoint, target = self.save(teacher.state_dict()), self.path("logits.safetensors")
        open(os.path.join(data, "validation", "2", "empty.jpg"), "w").close()
        for name in ("note.txt", "note.jpg"):  # by its name, the first is none
            with open(os.path.join(data, "validation", "2", name), "w") as file:
                file.write("not a picture")
        picture(5).save(self.path("whole.jpg"))
        with open(self.path("whole.jpg"), "rb") as file:
            half = file.read()[:-200]
        with open(os.path.join(data, "training", "labeled", "1", "half.jpg"), "wb") as file:
            file.write(half)
        picture(5).convert("CMYK").save(os.path.join(data, "training", "labeled", "1", "print.jpg"))
        status, _, errors = self.run_tool(*self.logits_arguments(checkpoint, data), "--output", target)
        self.assertEqual(status, 0, errors)
        self.assertIn("4 of 17 pictures left out: training/labeled/1/half.jpg is truncated; "
                      "training/labeled/1/print.jpg is a CMYK picture (convert it to RGB); "
                      "validation/2/empty.jpg is empty; "
                      "validation/2/note.jpg is not a JPEG, PNG or BMP picture", errors)
        self.assertEqual(safetensors_io.load(target)[0]["logits"].shape[0], 13)

    def test_the_testing_folder_is_refused(self):
        checkpoint, data = self.save(make_teacher().state_dict()), self.make_data()
        os.symlink(os.path.join(data, "testing"), self.path("innocent"))
        for folder in (os.path.join(data, "testing"), os.path.join(data, "testing", "00"), self.path("innocent"),
                       os.path.join(data, "training", "..", "testing", "00")):
            self.assertIn("this is the testing folder", self.refusal(*self.logits_arguments(checkpoint, folder)))
        os.symlink(os.path.join(data, "testing", "00"), os.path.join(data, "training", "unlabeled", "more"))
        self.assertIn("leads into the testing folder", self.refusal(*self.logits_arguments(checkpoint, data)))

    def test_a_folder_that_is_no_data_set_is_named(self):
        checkpoint = self.save(make_teacher().state_dict())
        self.assertIn("absent: no such folder", self.refusal(*self.logits_arguments(checkpoint, self.path("absent"))))
        self.assertIn("training: no such folder", self.refusal(*self.logits_arguments(checkpoint, self.folder)))

    def test_another_network_or_class_count_is_named(self):
        data = self.make_data()
        arguments = self.logits_arguments(self.save(make_teacher(5).state_dict()), data)
        self.assertIn("tensor fc.weight has shape [5, 1024], shufflenet_v2_x0_5 with 3 classes needs [3, 1024]",
                      self.refusal(*arguments))
        arguments = self.logits_arguments(self.save({"weight": torch.ones(2)}), data)
        self.assertIn("lacks tensor conv1.0.weight of shufflenet_v2_x0_5", self.refusal(*arguments))
        for name in ("no_such_net", "ResNet", "resnet"):
            self.assertIn(f"--arch {name}: ", self.refusal(*arguments, "--arch", name))

    def test_converted_weights_give_the_same_logits(self):
        *_, tensors, _ = self.write()
        converted, again = self.path("weights.safetensors"), self.path("again.safetensors")
        self.run_tool(self.path("teacher.pth"), "--output", converted)
        status, _, errors = self.run_tool(*self.logits_arguments(converted, self.path("data")), "--output", again)
        self.assertEqual(status, 0, errors)
        np.testing.assert_array_equal(safetensors_io.load(again)[0]["logits"], tensors["logits"])

    def test_the_layout_of_image_folders_is_read_by_class_then_name(self):
        data = self.path("classes")
        for path in ("train/soup/b.png", "train/soup/a.png", "train/bread/a.png", "train/unlabeled/x.png",
                     "val/soup/v.png", "test/soup/1.png"):
            os.makedirs(os.path.dirname(os.path.join(data, path)), exist_ok=True)
            picture(1).save(os.path.join(data, path))
        classes, splits = homework_folders.list_pictures(data)
        self.assertEqual(classes, ["bread", "soup"])
        self.assertEqual(splits, {"labeled": [("train/bread/a.png", 0), ("train/soup/a.png", 1), ("train/soup/b.png", 1)],
                                  "unlabeled": [("train/unlabeled/x.png", None)],
                                  "validation": [("val/soup/v.png", 1)]})

    def test_the_flat_layout_is_read_by_label_then_name(self):
        data = self.path("flat")
        for split in ("training", "validation"):
            os.makedirs(os.path.join(data, split))
            for name in ("0_1.png", "1_0.png", "2_9.png", "10_3.png", "0_0.png", "readme.txt"):
                if name != "10_3.png":
                    picture(1).save(os.path.join(data, split, name), format="PNG")
        classes, splits = homework_folders.list_pictures(data)
        self.assertEqual(classes, ["0", "1", "2"])
        self.assertEqual(splits["labeled"], [("training/0_0.png", 0), ("training/0_1.png", 0),
                                              ("training/1_0.png", 1), ("training/2_9.png", 2)])
        picture(1).save(os.path.join(data, "training", "10_3.png"))
        with self.assertRaisesRegex(homework_folders.PictureError, "class '3' has no pictures"):
            homework_folders.list_pictures(data)

    def test_shards_are_read_by_their_class_files(self):
        def pack(path, *files):
            os.makedirs(os.path.dirname(self.path("shards", path)), exist_ok=True)
            with tarfile.open(self.path("shards", path), "w") as archive:
                for name, content in files:
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))

        pack("train/b.tar", ("./1.png", b"x"), ("./1.cls", b"0"))
        pack("train/a.tar", ("d/2.png", b"x"), ("d/2.cls", b"1\n"), ("3.seg.png", b"x"), ("3.png", b"x"), ("._3.png", b""))
        pack("val/a.tar", ("1.png", b"x"), ("1.cls", b"1"), ("2.png", b"x"))
        pack("test/a.tar", ("1.png", b"x"), ("1.cls", b"1"))
        classes, splits = homework_folders.list_pictures(self.path("shards"))
        self.assertEqual(classes, ["0", "1"])
        self.assertEqual(splits, {"labeled": [("train/b.tar/1.png", 0), ("train/a.tar/d/2.png", 1)],
                                  "unlabeled": [("train/a.tar/3.png", None)], "validation": [("val/a.tar/1.png", 1)]})
        for content, message in ((b"soup", "3.cls holds 'soup', expected a class number"), (b"\xe4", "holds '")):
            pack("train/a.tar", ("3.png", b"x"), ("3.cls", content))
            with self.assertRaisesRegex(homework_folders.PictureError, message):
                homework_folders.list_pictures(self.path("shards"))
        with open(self.path("shards", "train", "a.tar"), "wb") as file:
            file.write(b"no archive" * 100)
        with self.assertRaisesRegex(homework_folders.PictureError, "is no sound tar archive"):
            homework_folders.list_pictures(self.path("shards"))


class SafetensorsFiles(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "x.safetensors")

    def test_verdicts_are_those_of_the_reference_implementation(self):
        with open(os.path.join(SOURCE, "tests", "io", "safetensors_headers.json")) as file:
            cases = json.load(file)
        self.assertGreater(len(cases), 150)
        for name, header, size, sound in cases:
            header = header.encode("latin-1")
            with open(self.path, "wb") as file:
                file.write(struct.pack("<Q", len(header)) + header + bytes(size))
            with self.subTest(name):
                try:
                    safetensors_io.load(self.path)
                    self.assertTrue(sound)
                except safetensors_io.SafetensorsError as error:
                    # A sound file may hold types that NumPy lacks.
                    self.assertEqual("is not read here" in str(error), sound, error)
                    self.assertTrue(str(error).startswith(f"{self.path}: ") and "\n" not in str(error), error)

    def test_every_flipped_bit_is_noticed(self):
        safetensors_io.save(self.path, {"w": np.float32([1, 2]), "n": np.array([True])}, {"names": "é"})
        with open(self.path, "rb") as file:
            sound = file.read()
        tensors, metadata = safetensors_io.load(self.path)
        self.assertEqual((tensors["w"].tolist(), metadata), ([1, 2], {"names": "é"}))
        for bit in range(8 * len(sound)):
            damaged = bytearray(sound)
            damaged[bit // 8] ^= 1 << bit % 8
            with open(self.path, "wb") as file:
                file.write(damaged)
            with self.assertRaises(safetensors_io.SafetensorsError, msg=f"bit {bit % 8} of byte {bit // 8}"):
                safetensors_io.load(self.path)

    def test_a_file_that_was_read_is_written_with_a_new_checksum(self):
        safetensors_io.save(self.path, {"w": np.float32([1, 2])}, {"k": "v"})
        _, metadata = safetensors_io.load(self.path)
        safetensors_io.save(self.path, {"w": np.float32([1, 3])}, metadata)
        self.assertEqual(safetensors_io.load(self.path)[0]["w"].tolist(), [1, 3])


if __name__ == "__main__":
    torch.set_num_threads(1)
    unittest.main()
