// SPDX-License-Identifier: MIT
// The teachers of precompute_logits, on any device.
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/data/folders.hpp>
#include <bantam/data/testing_refusal.hpp>
#include <bantam/io/atomic_file.hpp>
#include <bantam/io/checkpoint.hpp>
#include <bantam/models/resnet18.hpp>
#include <bantam/models/sample_teacher.hpp>

#include "shared/architecture.hpp"
#include "shared/homework.hpp"
#include "shared/logits_job.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#ifndef BANTAM_CLASSES
#define BANTAM_CLASSES 11
#endif

namespace precompute_logits {

/// A teacher that is built in: an architecture at a picture size with a number of classes.
struct Architecture {
    std::string name;
    Index classes;
    std::span<const NamedTensor> tensors;
    std::function<std::unique_ptr<TeacherOnDevice>(SafetensorsFile&, const Options&)> make;
    /// For `--average`; empty for classes other than BANTAM_CLASSES, which would take long to compile.
    std::function<std::unique_ptr<TeacherOnDevice>(SafetensorsFile&, const Options&)> make_larger{};
};

template <template <class> class OnDevice, class Teacher>
std::unique_ptr<TeacherOnDevice> make_teacher(SafetensorsFile& weights, const Options& options) {
    return std::make_unique<OnDevice<Teacher>>(weights, options);
}

template <template <class> class OnDevice, template <int, int> class Teacher, int Size, int LargerSize, int... Classes>
void add_architectures(std::vector<Architecture>& list, const char* name) {
    (list.push_back(
         {name, Classes, tensor_table<Teacher<Classes, Size>>, make_teacher<OnDevice, Teacher<Classes, Size>>}),
     ...);
    const auto add_larger = [&]<int Count>(std::integral_constant<int, Count>) {
        if constexpr (Count == BANTAM_CLASSES)
            for (Architecture& added : list)
                if (added.name == name && added.classes == Count)
                    added.make_larger = make_teacher<OnDevice, Teacher<Count, LargerSize>>;
    };
    (add_larger(std::integral_constant<int, Classes>{}), ...);
}

/// Every teacher that is built in, run by `OnDevice<Teacher>`.
template <template <class> class OnDevice>
std::vector<Architecture> architectures() {
    std::vector<Architecture> list;
    add_architectures<OnDevice, ResNet18, 128, 160, 10, 11>(list, "resnet18");
    if constexpr (BANTAM_CLASSES != 10 && BANTAM_CLASSES != 11)
        add_architectures<OnDevice, ResNet18, 128, 160, BANTAM_CLASSES>(list, "resnet18");
    add_architectures<OnDevice, SampleTeacher, 48, 60, 11>(list, "sample-teacher");
    return list;
}

/// Runs the built-in teacher that `options` name on `OnDevice`'s device. An empty architecture is found from the
/// weights' tensors. The testing folder is never read. Throws Error where no teacher fits.
template <template <class> class OnDevice>
void precompute(Options& options) {
    refuse_testing_folder(options.data);
    SafetensorsFile weights = SafetensorsFile::open(options.teacher);
    const HomeworkFolders folders = open_homework(options.data);
    if (options.verify.empty()) {
        refuse_input_as_output(options.output, options.data, folders, options.teacher);
        // Fail before the teacher's work where the output cannot be written.
        AtomicFile{options.output};
    } else {
        const TeacherLogits file = load_teacher_logits(options.verify);
        options.average = file.average_input != 0;
        options.stored_size = file.preprocessing.stored_size;
    }
    const std::vector<Architecture> list = architectures<OnDevice>();
    if (options.architecture.empty()) options.architecture = nearest_architecture(weights, list).name;
    const auto classes = static_cast<Index>(folders.classes.size());
    for (const Architecture& candidate : list) {
        if (candidate.name != options.architecture || candidate.classes != classes) continue;
        if (options.average && !candidate.make_larger)
            throw Error{
                fmt::format("--average: this program has the larger {} for {} classes, the data has {}; build "
                            "again with -DBANTAM_CLASSES={}",
                            candidate.name, BANTAM_CLASSES, classes, classes)};
        const std::unique_ptr<TeacherOnDevice> teacher = candidate.make(weights, options);
        const std::unique_ptr<TeacherOnDevice> larger =
            options.average ? candidate.make_larger(weights, options) : nullptr;
        return store_logits(options, folders, *teacher, larger.get());
    }
    throw Error{
        fmt::format("{}: no teacher '{}' with {} classes is built in; build again with -DBANTAM_CLASSES={} for a "
                    "resnet18, use convert_teacher.py --logits, or add it to the list in precompute_logits.hpp",
                    options.data.string(), options.architecture, classes, classes)};
}

/// What --device cuda runs, or null in a program built without CUDA. Defined by precompute_logits.cu, or by
/// cmake/no_gpu_job.cpp.in.
void (*gpu_job())(Options&);

}  // namespace precompute_logits
