// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/io/lock_file.hpp>

#include <filesystem>
#include <string>

namespace bantam {

/// Exclusive use of a folder. While it lives, the file `run.lock` in the folder is locked and names this process; see
/// LockFile. Throws Error naming the other process where the folder is in use.
class FolderLock {
public:
    explicit FolderLock(const std::filesystem::path& folder)
        : lock_{folder / "run.lock", [&](const std::string& owner) {
                    throw Error{folder.string() + ": is in use by " + owner +
                                "; wait until it has ended, or choose another output folder"};
                }} {}

private:
    LockFile lock_;
};

}  // namespace bantam
