// SPDX-License-Identifier: MIT
// Runs a teacher on several views of each training and validation picture and stores its logits in a file.
// The testing folder is never read.

#include "precompute_logits.hpp"

#include <bantam/bantam.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/parallel_for.hpp>

namespace {

using namespace precompute_logits;

/// A teacher on the CPU.
template <class Teacher>
class OnCpu {
public:
    using Network = Teacher;

    OnCpu(SafetensorsFile& weights, const Options& options) : threads_{options.threads}, model_{options.threads} {
        model_.update([&](std::span<float> parameters, std::span<float> statistics) {
            read_network<Teacher>(weights, parameters, statistics);
        });
    }

    Index batch() const { return 16 * threads_; }

    void set_pictures(const std::vector<const std::uint8_t*>& pictures, int stored_size, const std::vector<View>& views,
                      Index views_each, const ColorTransform& colors) {
        pictures_ = &pictures;
        stored_size_ = stored_size;
        views_ = &views;
        views_each_ = views_each;
        colors_ = colors;
        pixels_.resize(static_cast<std::size_t>(batch() * element_count(input_shape<Teacher>)));
    }

    void infer(Index first, Index count, float* logits) {
        constexpr Shape input = input_shape<Teacher>;
        parallel_for(count, threads_, [&](Index i, int) {
            const Index index = first + i;
            cut_view((*pictures_)[static_cast<std::size_t>(index / views_each_)], stored_size_,
                     (*views_)[static_cast<std::size_t>(index)], input, pixels_.data() + i * element_count(input),
                     colors_);
        });
        model_.infer(pixels_.data(), count, logits);
    }

private:
    int threads_;
    cpu::Model<Teacher> model_;
    const std::vector<const std::uint8_t*>* pictures_ = nullptr;
    const std::vector<View>* views_ = nullptr;
    int stored_size_ = 0;
    Index views_each_ = 1;
    ColorTransform colors_;
    std::vector<float> pixels_;
};

}  // namespace

int main(int argc, char** argv) {
    Options options;
    CommandLine line{"Stores a teacher's logits for every training and validation picture"};
    line.option("--data", options.data, "Folder with training/ and validation/").required();
    line.option("--teacher", options.teacher, "Teacher weights, safetensors (see convert_teacher.py)").required();
    line.option("--output", options.output, "Logits file to write, safetensors").required();
    line.option("--architecture", options.architecture,
                "resnet18 or sample-teacher; by default the one that the weights' tensors belong to");
    line.option("--views", options.views, "Views of each picture; view 0 is the whole picture").between(1, 1024);
    line.option("--view-seed", options.view_seed, "Seed of the views");
    line.option("--stored-size", options.stored_size, "Side of the pictures in memory, in pixels").between(8, 4096);
    line.option("--threads", options.threads, "Threads").between(1, 1024);
    const auto on_gpu = gpu_job();
    line.device_options(options.device, on_gpu != nullptr);
    return line.run(argc, argv, [&] { options.device.on_gpu() ? on_gpu(options) : precompute<OnCpu>(options); });
}
