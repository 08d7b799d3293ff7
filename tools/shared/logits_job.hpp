// SPDX-License-Identifier: MIT
// The job of precompute_logits, whatever the teacher and its device.
#pragma once

#include <bantam/base/communicator.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/data/folders.hpp>
#include <bantam/data/sample_plan.hpp>
#include <bantam/data/teacher_logits.hpp>

#include "command_line.hpp"

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace precompute_logits {

using namespace bantam;

struct Options {
    std::filesystem::path data;
    std::filesystem::path teacher;
    std::filesystem::path output;
    std::string architecture;  ///< empty: found from the weights
    Index views = 8;           ///< of each picture alone
    Index mixed = 0;           ///< further ones, mixed with a second picture
    std::uint64_t view_seed = 1;
    double min_area = 0.35;
    double color = 0.2;
    bool average = false;
    int stored_size = 144;
    std::filesystem::path cache;  ///< of decoded pictures; empty: none
    bool verify_cache = false;
    std::string shard = "1/1";
    bool resume = false;
    std::vector<std::filesystem::path> merge;  ///< parts to merge; nothing is computed
    std::filesystem::path verify;              ///< file to verify; nothing is written
    std::uint64_t verify_seed = 1;
    int threads = processor_count();
    DeviceOptions device;
    Communicator* communicator = nullptr;  ///< of several ranks, each of which computes a part; null: of one

    bool first_rank() const { return communicator == nullptr || communicator->rank().index == 0; }
};

/// A teacher with its weights on some device.
class TeacherOnDevice {
public:
    virtual ~TeacherOnDevice() = default;

    virtual Shape input() const = 0;
    virtual Index parameters() const = 0;
    /// How many samples `infer` takes at most.
    virtual Index batch() const = 0;
    /// The pictures, [stored_size][stored_size][3] each, that the samples of `infer` show. They must outlive this.
    virtual void set_pictures(const std::vector<const std::uint8_t*>& pictures, int stored_size) = 0;
    /// The logits, [sample][class].
    virtual void infer(std::span<const SamplePlan> samples, float* logits) = 0;
};

/// Computes what the options ask for, a file, a shard of it or the verification of one, by `teacher` and, where answers
/// are averaged, by `larger`, the same teacher for a larger input. Throws Error, and Stopped after what is done has
/// been saved.
void store_logits(const Options& options, const HomeworkFolders& folders, TeacherOnDevice& teacher,
                  TeacherOnDevice* larger);

/// Merges the parts that the options name.
void merge_logits(const Options& options);

/// Throws Error where options exclude each other or lack what the job needs.
void check_options(const Options& options);

/// Gives each rank its part of the file. Throws Error where the options do so already.
void share_among(Communicator& communicator, Options& options);

}  // namespace precompute_logits
