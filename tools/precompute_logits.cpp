// SPDX-License-Identifier: MIT
// Runs a teacher on several views of each training and validation picture and stores its logits in a file.
// The testing folder is never read.

#include "precompute_logits.hpp"

#include <bantam/bantam.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/parallel_for.hpp>

#include "shared/ranks.hpp"

#include <memory>

namespace {

using namespace precompute_logits;

/// A teacher on the CPU.
template <class Teacher>
class OnCpu final : public TeacherOnDevice {
public:
    OnCpu(SafetensorsFile& weights, const Options& options) : threads_{options.threads}, model_{options.threads} {
        model_.update([&](std::span<float> parameters, std::span<float> statistics) {
            read_network<Teacher>(weights, parameters, statistics);
        });
        pixels_.resize(static_cast<std::size_t>(OnCpu::batch() * element_count(image)));
    }

    Shape input() const override { return image; }
    Index parameters() const override { return parameter_count<Teacher>; }
    Index batch() const override { return 16 * threads_; }

    void set_pictures(const std::vector<const std::uint8_t*>& pictures, int stored_size) override {
        pictures_ = &pictures;
        stored_size_ = stored_size;
    }

    void infer(std::span<const SamplePlan> samples, float* logits) override {
        const auto pixels_of = [&](Index sample) { return (*pictures_)[static_cast<std::size_t>(sample)]; };
        parallel_for(std::ssize(samples), threads_, [&](Index i, int) {
            cut_sample(pixels_of, stored_size_, samples[static_cast<std::size_t>(i)], image,
                       pixels_.data() + i * element_count(image));
        });
        model_.infer(pixels_.data(), std::ssize(samples), logits);
    }

private:
    static constexpr Shape image = input_shape<Teacher>;
    int threads_;
    cpu::Model<Teacher> model_;
    const std::vector<const std::uint8_t*>* pictures_ = nullptr;
    int stored_size_ = 0;
    std::vector<float> pixels_;
};

}  // namespace

int main(int argc, char** argv) {
    Options options;
    CommandLine line{"Stores a teacher's logits for every training and validation picture"};
    line.option("--data", options.data, "Folder with training/ and validation/");
    line.option("--teacher", options.teacher, "Teacher weights, safetensors (see convert_teacher.py)");
    line.option("--output", options.output, "Logits file to write, safetensors");
    line.option("--architecture", options.architecture,
                "resnet18 or sample-teacher; by default the one that the weights' tensors belong to");
    line.option("--views", options.views, "Views of each picture; view 0 is the whole picture").between(1, 1024);
    line.option("--mixed", options.mixed, "Further views of each picture, mixed with another one (mixup and CutMix)")
        .between(0, 1023);
    line.option("--view-seed", options.view_seed, "Seed of the views");
    line.option("--min-area", options.min_area, "Smallest part of a picture that a view shows, 0.01 to 1");
    line.option("--color", options.color,
                "By how much brightness, contrast and saturation of a view change at most, 0 to 1");
    line.flag("--average", options.average,
              "Store the mean of the logits of the view, the mirrored view and the view at a larger size");
    line.option("--stored-size", options.stored_size, "Side of the pictures in memory, in pixels").between(8, 4096);
    line.option("--cache", options.cache,
                "File of decoded pictures, made where it does not exist; later starts decode only what has changed");
    line.flag("--verify-cache", options.verify_cache,
              "Compare all pictures and their files with the hashes in --cache");
    line.flag("--resume", options.resume, "Continue after an interruption, where there is something to continue");
    line.option("--shard", options.shard,
                "Compute part I of N; when the last one is finished beside the others, they are merged");
    line.option("--merge", options.merge, "Parts to merge into --output; nothing is computed");
    line.option("--verify", options.verify,
                "Logits file of which 1 %, and at least 100 views, are computed again; nothing is written");
    line.option("--verify-seed", options.verify_seed, "Seed of the choice of those views");
    line.option("--threads", options.threads, "Threads").between(1, 1024);
    const auto on_gpu = gpu_job();
    line.device_options(options.device, on_gpu != nullptr);
    return line.run(argc, argv, [&] {
        const std::unique_ptr<Communicator> communicator = join_ranks();
        check_options(options);
        // These take a single process.
        const bool alone = !options.merge.empty() || !options.verify.empty();
        if (alone && communicator->rank().index > 0) return;
        if (!alone) share_among(*communicator, options);
        if (!options.merge.empty()) return merge_logits(options);
        options.device.on_gpu() ? on_gpu(options) : precompute<OnCpu>(options);
    });
}
