// SPDX-License-Identifier: MIT
// Decodes pictures for programs in other languages, so that all read the same pictures and the same pixels:
//
//   decode_pictures SIZE < paths > pixels
//
// `paths` are names of files, or of files in tar archives (shard.tar/000123.jpg), each ended by a zero byte. For each,
// in their order, stdout gets a line and the pixels:
//
//   "is sound HEIGHT WIDTH\n" and HEIGHT x WIDTH x 3 bytes of RGB, or "is truncated\n" and the like without pixels.
//
// Where the system fails to read a file, the line is "error: MESSAGE\n" and the last one.
//
// Pictures are squashed to SIZE x SIZE; 0 leaves them as they are. Needs no other source file and no library, so that
// tools/shared/homework_pictures.py can compile it alone.

#include <bantam/base/error.hpp>
#include <bantam/data/picture.hpp>
#include <bantam/data/picture_reader.hpp>
#include <bantam/data/resize.hpp>

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace {

using namespace bantam;

void write_picture(const std::string& path, int size) {
    // Their memory is used for the next picture again.
    static PictureReader reader;
    static std::vector<std::uint8_t> bytes;
    static Picture picture;
    PictureProblem problem = reader.read(path, bytes);
    if (problem == PictureProblem::none) problem = decode_picture(bytes, {}, picture);
    std::cout << picture_problem_text(problem);
    if (problem == PictureProblem::none) {
        std::vector<std::uint8_t> squashed;
        const std::vector<std::uint8_t>* pixels = &picture.rgb;
        const int height = size == 0 ? picture.height : size;
        const int width = size == 0 ? picture.width : size;
        if (size != 0) {
            squashed.resize(std::size_t{3} * static_cast<std::size_t>(size) * static_cast<std::size_t>(size));
            resize_rgb(picture.rgb.data(), picture.height, picture.width, squashed.data(), size, size);
            pixels = &squashed;
        }
        std::cout << ' ' << height << ' ' << width << '\n';
        std::cout.write(reinterpret_cast<const char*>(pixels->data()), static_cast<std::streamsize>(pixels->size()));
    } else {
        std::cout << '\n';
    }
    std::cout.flush();
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view argument{argc == 2 ? argv[1] : ""};
    int size = 0;
    const auto [end, cause] = std::from_chars(argument.data(), argument.data() + argument.size(), size);
    constexpr int largest = 4096;
    if (argument.empty() || cause != std::errc{} || end != argument.data() + argument.size() || size < 0 ||
        size > largest) {
        std::fputs("error: expected one argument, the size from 0 (as stored) to 4096; paths are read from stdin\n",
                   stderr);
        return 2;
    }
    try {
        for (std::string path; std::cout && std::getline(std::cin, path, '\0');) write_picture(path, size);
    } catch (const Error& problem) {
        std::cout << "error: " << problem.what() << std::endl;
        return 1;
    }
    return std::cout ? 0 : 1;
}
