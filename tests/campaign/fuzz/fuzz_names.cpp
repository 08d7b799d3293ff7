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

#include <fcntl.h>

namespace fs = std::filesystem;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const fs::path root = fs::temp_directory_path() / ("fuzz_names_" + std::to_string(getpid()));
    constexpr int most_files = 20;
    std::error_code ignored;
    fs::remove_all(root, ignored);
    std::string_view rest{reinterpret_cast<const char*>(data), size};
    for (int files = 0; files < most_files && !rest.empty(); ++files) {
        const std::string_view name = rest.substr(0, rest.find('\0'));
        rest.remove_prefix(std::min(name.size() + 1, rest.size()));
        if (name.find("..") != name.npos || name.empty() || name.ends_with('/')) continue;
        const std::string path = root.string() + '/' + std::string{name};
        const auto create = [&] { return ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600); };
        int file = create();
        if (file < 0) {
            fs::create_directories(fs::path{path}.parent_path(), ignored);
            file = create();
        }
        if (file >= 0) ::close(file);
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
