// SPDX-License-Identifier: MIT
// Draws a sample data set in the layout of the course's homework: eleven classes of food as
// procedural still lifes. The pictures depend on the seed and the options, but not on the threads.
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#include <fmt/format.h>
#include <stb/stb_image_write.h>

#include <atomic>
#include <exception>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "../shared/command_line.hpp"
#include "../shared/stop_signal.hpp"
#include "bantam/base/error.hpp"
#include "bantam/base/random.hpp"
#include "still_life/scene.hpp"

namespace {

namespace fs = std::filesystem;

struct Options {
    fs::path output;
    std::uint64_t seed = 1;
    int size = 72;
    int labeled_per_class = 40;
    int unlabeled = 2200;
    int validation_per_class = 40;
    int testing = 440;
    std::string format = "jpg";
    int threads = bantam::processor_count();
};

/// One picture to draw.
struct Task {
    fs::path path;  ///< relative to the data folder
    std::size_t dish;
    std::uint64_t stream;  ///< of its random numbers; different for every picture
};

enum class Split : std::uint64_t { labeled, unlabeled, validation, testing };

constexpr std::uint64_t stream_of(Split split, std::uint64_t number) {
    return (static_cast<std::uint64_t>(split) << 32) + number;
}

/// Pictures that carry their class as a folder: <folder>/<class>/<class>_<number>.
void add_by_class(std::vector<Task>& tasks, const Options& options, Split split, const fs::path& folder,
                  int per_class) {
    for (std::size_t dish = 0; dish < still_life::dishes.size(); ++dish)
        for (int i = 0; i < per_class; ++i)
            tasks.push_back({folder / fmt::format("{:02}", dish) / fmt::format("{}_{}.{}", dish, i, options.format),
                             dish, stream_of(split, static_cast<std::uint64_t>(i) * still_life::dishes.size() + dish)});
}

/// Pictures without a label: <folder>/00/<number>, of a class drawn by chance.
void add_unlabeled(std::vector<Task>& tasks, const Options& options, Split split, const fs::path& folder, int count) {
    for (int i = 0; i < count; ++i) {
        const std::uint64_t stream = stream_of(split, static_cast<std::uint64_t>(i));
        constexpr std::uint64_t class_seed_offset = 0x5eed;
        const auto dish = bantam::random_bits(options.seed + class_seed_offset, stream, 0) % still_life::dishes.size();
        tasks.push_back({folder / "00" / fmt::format("{:05}.{}", i, options.format), dish, stream});
    }
}

void draw(const Task& task, const Options& options, const fs::path& root) {
    still_life::Brush brush{options.size, options.seed, task.stream};
    still_life::paint_still_life(brush, task.dish);
    std::vector<unsigned char> bytes;
    bytes.reserve(brush.pixels().size() * 3);
    for (const still_life::Color& color : brush.pixels())
        for (const float value : {color.r, color.g, color.b})
            bytes.push_back(static_cast<unsigned char>(std::clamp(value, 0.0F, 1.0F) * 255.0F + 0.5F));
    const std::string path = (root / task.path).string();
    const int written =
        options.format == "png"
            ? stbi_write_png(path.c_str(), options.size, options.size, 3, bytes.data(), options.size * 3)
            : stbi_write_jpg(path.c_str(), options.size, options.size, 3, bytes.data(), brush.whole(70, 95));
    if (written == 0) throw bantam::Error(fmt::format("{}: cannot be written; is the disk full?", path));
}

void draw_all(const std::vector<Task>& tasks, const Options& options, const fs::path& root) {
    const bantam::StopSignal signal;
    std::atomic<std::size_t> next{0};
    std::exception_ptr failure;
    std::mutex failure_mutex;
    const auto work = [&] {
        try {
            for (std::size_t i = next++; i < tasks.size() && !signal.received(); i = next++)
                draw(tasks[i], options, root);
        } catch (...) {
            const std::scoped_lock lock{failure_mutex};
            failure = std::current_exception();
            next = tasks.size();
        }
    };
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < options.threads; ++i) threads.emplace_back(work);
    }
    if (failure) std::rethrow_exception(failure);
    if (signal.received()) signal.stop("before all pictures were drawn; nothing was kept, start again");
}

/// A folder of a unique name, beside `target`; removed unless it has been put in place.
class PartialFolder {
public:
    explicit PartialFolder(fs::path target) : target_{std::move(target)} {
        if (target_.has_parent_path()) fs::create_directories(target_.parent_path());
        std::uint64_t number = 0;
        do {
            path_ = target_;
            path_ += fmt::format(".{}.partial", number++);
        } while (!fs::create_directory(path_));
    }
    PartialFolder(const PartialFolder&) = delete;
    PartialFolder& operator=(const PartialFolder&) = delete;
    ~PartialFolder() {
        std::error_code ignored;
        if (!path_.empty()) fs::remove_all(path_, ignored);
    }

    const fs::path& path() const { return path_; }
    /// Fails where the target is anything but missing or an empty folder, and removes nothing.
    void put_in_place() {
        fs::rename(path_, target_);
        path_.clear();
    }

private:
    fs::path target_, path_;
};

void run(const Options& options) {
    if (fs::exists(options.output) && !(fs::is_directory(options.output) && fs::is_empty(options.output)))
        throw bantam::Error(
            fmt::format("{}: expected a new or empty folder; remove it or name another", options.output.string()));
    std::vector<Task> tasks;
    add_by_class(tasks, options, Split::labeled, "training/labeled", options.labeled_per_class);
    add_unlabeled(tasks, options, Split::unlabeled, "training/unlabeled", options.unlabeled);
    add_by_class(tasks, options, Split::validation, "validation", options.validation_per_class);
    add_unlabeled(tasks, options, Split::testing, "testing", options.testing);

    // Drawn under another name first, so that an interrupted run leaves no incomplete data set.
    fs::path target = fs::weakly_canonical(options.output);
    if (!target.has_filename()) target = target.parent_path();
    PartialFolder partial{target};
    for (const Task& task : tasks) fs::create_directories((partial.path() / task.path).parent_path());
    draw_all(tasks, options, partial.path());
    partial.put_in_place();
    fmt::print("drew {} pictures of {}x{} in {}: {} labeled, {} unlabeled, {} validation, {} testing\n", tasks.size(),
               options.size, options.size, options.output.string(),
               static_cast<std::size_t>(options.labeled_per_class) * still_life::dishes.size(), options.unlabeled,
               static_cast<std::size_t>(options.validation_per_class) * still_life::dishes.size(), options.testing);
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    bantam::CommandLine line{"Draws a sample data set of eleven food classes in the homework's layout"};
    line.option("--output", options.output, "New folder for the data set").required();
    line.option("--seed", options.seed, "Other seeds give other pictures");
    line.option("--size", options.size, "Height and width in pixels").between(16, 1024);
    line.option("--labeled-per-class", options.labeled_per_class, "Labeled training pictures of each class")
        .between(0, 1'000'000);
    line.option("--unlabeled", options.unlabeled, "Unlabeled training pictures").between(0, 10'000'000);
    line.option("--validation-per-class", options.validation_per_class, "Validation pictures of each class")
        .between(0, 1'000'000);
    line.option("--testing", options.testing, "Testing pictures").between(0, 10'000'000);
    line.option("--format", options.format, "jpg or png").one_of({"jpg", "png"});
    line.option("--threads", options.threads, "Worker threads").between(1, 1024);
    return line.run(argc, argv, [&] { run(options); });
}
