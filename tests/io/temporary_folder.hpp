// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace bantam_test {

/// A new folder for one test, removed with its contents.
class TemporaryFolder {
public:
    TemporaryFolder() {
        static std::atomic<unsigned> counter{0};
        do {
            path_ = std::filesystem::temp_directory_path() /
                    ("bantam-test-" + std::to_string(std::random_device{}()) + "-" + std::to_string(counter++));
        } while (!std::filesystem::create_directories(path_));
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    ~TemporaryFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    const std::filesystem::path& path() const { return path_; }

    /// Writes a file below the folder, creating the folders in between.
    std::filesystem::path write(const std::string& relative, std::string_view contents) const {
        const std::filesystem::path file = path_ / relative;
        std::filesystem::create_directories(file.parent_path());
        std::ofstream{file, std::ios::binary}.write(contents.data(), static_cast<std::streamsize>(contents.size()));
        return file;
    }

    std::filesystem::path write(const std::string& relative, const std::vector<std::uint8_t>& bytes) const {
        return write(relative, std::string_view{reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    }

private:
    std::filesystem::path path_;
};

inline std::string contents_of(const std::filesystem::path& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

inline std::size_t entry_count(const std::filesystem::path& folder) {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator{folder}) ++count;
    return count;
}

/// The message of the Error thrown by `action`, or "nothing was thrown".
template <class Exception, class Action>
std::string message_of(Action&& action) {
    try {
        action();
    } catch (const Exception& error) {
        return error.what();
    }
    return "nothing was thrown";
}

inline bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

}  // namespace bantam_test
