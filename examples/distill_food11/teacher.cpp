// SPDX-License-Identifier: MIT
#include "teacher.hpp"

#include <bantam/core/network.hpp>
#include <bantam/cpu/model.hpp>
#include <bantam/io/checkpoint.hpp>
#include <bantam/io/safetensors.hpp>
#include <bantam/models/resnet18.hpp>
#include <bantam/models/sample_teacher.hpp>

#include "../../tools/shared/architecture.hpp"

#include <memory>
#include <span>
#include <string>
#include <vector>

#ifndef BANTAM_CLASSES
#define BANTAM_CLASSES 11
#endif

namespace distill_food11 {
namespace {

template <class Net>
OnlineTeacher teacher_on_cpu(SafetensorsFile& weights, int threads) {
    const auto model = std::make_shared<cpu::Model<Net>>(threads);
    model->update([&](std::span<float> parameters, std::span<float> statistics) {
        read_network<Net>(weights, parameters, statistics);
    });
    return {input_shape<Net>, class_count<Net>,
            [model](const float* pixels, Index count, float* logits) { model->infer(pixels, count, logits); }};
}

struct Architecture {
    std::string name;
    std::span<const NamedTensor> tensors;
    OnlineTeacher (*make)(SafetensorsFile&, int threads);
};

template <class Net>
Architecture architecture(const char* name) {
    return {name, tensor_table<Net>, teacher_on_cpu<Net>};
}

}  // namespace

OnlineTeacher open_teacher(const std::filesystem::path& weights, int threads) {
    SafetensorsFile file = SafetensorsFile::open(weights);
    const std::vector<Architecture> list{architecture<ResNet18<BANTAM_CLASSES>>("resnet18"),
                                         architecture<SampleTeacher<BANTAM_CLASSES>>("sample-teacher")};
    return nearest_architecture(file, list).make(file, threads);
}

TeacherLogits answer_whole_pictures(const OnlineTeacher& teacher, const LabeledPictures& pictures) {
    TeacherLogits result;
    result.paths = pictures.store.paths();
    result.hashes = pictures.store.hashes();
    result.view_count = 1;
    std::vector<float> logits(pictures.store.size() * static_cast<std::size_t>(teacher.classes));
    float* to = logits.data();
    const EvaluationLoader loader{pictures, teacher.input, 64};
    BatchQueue batches = loader.batches();
    while (const Batch* batch = batches.next()) {
        teacher.infer(batch->pixels.data(), batch->count, to);
        to += batch->count * teacher.classes;
    }
    result.logits = std::move(logits);
    return result;
}

}  // namespace distill_food11
