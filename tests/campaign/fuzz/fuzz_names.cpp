// SPDX-License-Identifier: MIT
// Makes files of any names, separated by zero bytes, and takes the folder as a data set: it is read or refused in one
// line, and every picture that is listed exists.
#include <bantam/data/folders.hpp>

#include <unistd.h>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace fs = std::filesystem;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const fs::path root = fs::temp_directory_path() / ("fuzz_names_" + std::to_string(getpid()));
    std::error_code ignored;
    fs::remove_all(root, ignored);
    std::string_view rest{reinterpret_cast<const char*>(data), size};
    for (int files = 0; files < 40 && !rest.empty(); ++files) {
        const std::size_t end = std::min(rest.find('\0'), rest.size());
        const fs::path path = root / fs::path{rest.substr(0, end)}.relative_path();
        rest.remove_prefix(std::min(end + 1, rest.size()));
        if (path.string().find("..") != std::string::npos || !path.has_filename()) continue;
        fs::create_directories(path.parent_path(), ignored);
        std::ofstream{path} << 'x';
    }
    try {
        const auto folders = bantam::scan_homework(root, 0);
        const auto check = [&](const auto& paths) {
            for (const auto& path : paths)
                if (!fs::exists(root / path)) std::abort();
        };
        check(folders.training.paths);
        check(folders.unlabeled.paths);
        check(folders.validation.paths);
        check(folders.testing.paths());
        if (folders.training.paths.size() != folders.training.labels.size()) std::abort();
    } catch (const bantam::Error& problem) {
        if (std::string_view{problem.what()}.find('\n') != std::string_view::npos) std::abort();
    }
    return 0;
}
