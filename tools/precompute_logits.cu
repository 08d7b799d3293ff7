// SPDX-License-Identifier: MIT
// Teachers on a GPU, in programs built with CUDA.

#include <bantam/base/index.hpp>
#include <bantam/cuda/data/pictures.hpp>
#include <bantam/cuda/model.hpp>

#include "precompute_logits.hpp"

#include <optional>

namespace precompute_logits {
namespace {

/// A teacher on the GPU, where the pictures are kept and cut.
template <class Teacher, class Activation>
class OnGpu final : public TeacherOnDevice {
public:
    OnGpu(SafetensorsFile& weights, const Options& options) {
        model_.execution().allow_tf32(options.device.precision == "tf32");
        std::vector<float> parameters(static_cast<std::size_t>(trainable_parameters<Teacher>));
        std::vector<float> statistics(static_cast<std::size_t>(non_trainable_parameters<Teacher>));
        read_network<Teacher>(weights, {parameters.data(), parameters.size()}, {statistics.data(), statistics.size()});
        model_.set_weights({parameters.data(), parameters.size()}, {statistics.data(), statistics.size()});
    }

    Shape input() const override { return input_shape<Teacher>; }
    Index parameters() const override { return parameter_count<Teacher>; }
    Index batch() const override { return 256; }

    void set_pictures(const std::vector<const std::uint8_t*>& pictures, int stored_size) override {
        pictures_.emplace(model_.execution(), std::span<const std::uint8_t* const>{pictures.data(), pictures.size()},
                          stored_size);
        cuts_.reserve(batch());
        pixels_.reserve(batch() * model_.input_elements);
        logits_.reserve(batch() * model_.output_elements);
    }

    void infer(std::span<const SamplePlan> samples, float* logits) override {
        const Index count = std::ssize(samples);
        const std::vector<bantam::cuda::Cut> cuts(samples.begin(), samples.end());
        bantam::cuda::copy_to_device(model_.execution(), cuts.data(), count, cuts_.data());
        pictures_->cut(model_.execution(), cuts_.data(), nullptr, count, input_shape<Teacher>, pixels_.data());
        model_.infer(pixels_.data(), count, logits_.data());
        bantam::cuda::copy_to_host(model_.execution(), logits_.data(), count * model_.output_elements, logits);
    }

private:
    bantam::cuda::Model<Teacher, Activation> model_;
    std::optional<bantam::cuda::PictureSet> pictures_;
    bantam::cuda::DeviceBuffer<bantam::cuda::Cut> cuts_;
    bantam::cuda::DeviceBuffer<float> pixels_, logits_;
};

template <class Teacher>
using InFloat32 = OnGpu<Teacher, float>;
template <class Teacher>
using InBfloat16 = OnGpu<Teacher, Bfloat16>;

void precompute_on_gpu(Options& options) {
    options.device.precision == "bf16" ? precompute<InBfloat16>(options) : precompute<InFloat32>(options);
}

}  // namespace

void (*gpu_job())(Options&) { return precompute_on_gpu; }

}  // namespace precompute_logits
